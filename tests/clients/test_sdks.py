"""The real SDKs against a running ingest: nothing lost, nothing twice by id, and nobody stuck."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from shared.clock import SystemClock, from_us
from shared.events import Event
from tests.serving import Served, serving

HERE = Path(__file__).parent
HALF = 40
GROUPS = [f"g-{n}" for n in range(5)]
SECONDS_MAX = 60.0

PYTHON = ("segment", "rudder", "posthog", "cloudevents")
NODE = ("segment", "rudder", "posthog", "jitsu", "cloudevents")
ALL = [*(f"python-{sdk}" for sdk in PYTHON), *(f"node-{sdk}" for sdk in NODE)]
# The others leave it to their caller to send again.
PATIENT = [name for name in ALL if name.partition("-")[2] in ("segment", "rudder", "posthog")]


class Sender:
    """A process that sends with one SDK: half of its events, and the rest when told to go on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def sent(self) -> None:
        """Returns when the SDK says that it has flushed what it was given."""
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), SECONDS_MAX)
        assert line == b"sent\n", line

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"go on\n")

    async def ended(self) -> None:
        await asyncio.wait_for(self._process.wait(), SECONDS_MAX)


@asynccontextmanager
async def sending(request: pytest.FixtureRequest, name: str, url: str, key: str) -> AsyncIterator[Sender]:
    language, _, sdk = name.partition("-")
    if language == "python":
        command = [str(request.getfixturevalue("python_sdks")), str(HERE / "send.py")]
        directory = HERE
    else:
        command = ["node", str(HERE / "send.js")]
        directory = request.getfixturevalue("node_sdks")
    process = await asyncio.create_subprocess_exec(
        *command,
        sdk,
        url,
        key,
        str(HALF),
        cwd=directory,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield Sender(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ids_by_number(served: Served) -> dict[int, set[str]]:
    """The ids under which each of the numbered events is in the log."""
    found: dict[int, set[str]] = {}
    for message in await served.messages():
        assert isinstance(message, Event)
        assert message.customer_id == f"g-{message.properties['n'] % 5}"
        found.setdefault(message.properties["n"], set()).add(message.event_id)
    return found


async def assert_all_arrived(served: Served) -> None:
    await served.until(2 * HALF, SECONDS_MAX)
    found = await ids_by_number(served)
    assert sorted(found) == list(range(2 * HALF))
    assert all(len(ids) == 1 for ids in found.values())
    # The product is in Tokyo; a test that runs over midnight there finds two days.
    days = await served.days(GROUPS)
    assert all(0 < len(active) <= 2 and set(active) <= _today() for active in days.values()), days
    assert len(days) == len(GROUPS)


def _today() -> set[str]:
    now = from_us(SystemClock().now_us()).astimezone(ZoneInfo("Asia/Tokyo"))
    return {(now - timedelta(days=back)).date().isoformat() for back in (0, 1)}


@pytest.mark.parametrize("name", ALL)
async def test_every_event_arrives_under_one_id(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    async with serving(tmp_path) as served, sending(request, name, served.url, served.key) as sender:
        await sender.sent()
        sender.go_on()
        await sender.sent()
        await assert_all_arrived(served)
        assert await served.letters() == []


@pytest.mark.parametrize("name", PATIENT)
async def test_a_restart_in_the_middle_loses_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    async with serving(tmp_path) as served, sending(request, name, served.url, served.key) as sender:
        await sender.sent()
        await served.until(HALF, SECONDS_MAX)
        await served.stop()
        async with turned_away(served.port) as refused:
            sender.go_on()
            await asyncio.wait_for(refused.wait(), SECONDS_MAX)
        await served.start()
        await assert_all_arrived(served)


@pytest.mark.parametrize("name", PATIENT)
async def test_a_sender_that_is_told_to_slow_down_loses_nothing(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    # The first half overdraws the key's ten seconds by far, so the second is refused until they are over.
    async with (
        serving(tmp_path, events_per_second_max=3) as served,
        sending(request, name, served.url, served.key) as sender,
    ):
        await sender.sent()
        sender.go_on()
        await assert_all_arrived(served)


@pytest.mark.parametrize("name", ALL)
async def test_a_bad_key_gets_nothing_in_and_does_not_hold_its_sender_up(
    request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    async with serving(tmp_path) as served:
        async with sending(request, name, served.url, "ut_00000000_" + "A" * 43) as sender:
            sender.go_on()
            await sender.ended()
        assert await served.messages() == []


@asynccontextmanager
async def turned_away(port: int) -> AsyncIterator[asyncio.Event]:
    """Somebody on the port who hangs up on everyone; the event is set when the first one has called."""
    called = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang_up() -> None:
        listener.accept()[0].close()
        called.set()

    # No asyncio server: closed in the turn in which it accepts, it leaves that connection open (Python 3.11).
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.setblocking(False)
        loop.add_reader(listener, hang_up)
        try:
            yield called
        finally:
            loop.remove_reader(listener)
