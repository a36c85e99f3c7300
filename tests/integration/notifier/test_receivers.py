"""Receivers of every kind on real sockets: what each leads to, and that none delays another."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from services.notifier.channels.http import Answer, HttpClient, Request
from shared.config import Config
from tests.integration.notifier.test_http import Talk, never, receiver, saying
from tests.integration.notifier.world import Receivers, world
from tests.unit.notifier.cases import SECRET, stop

FINE = saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
MEGABYTE = b"x" * 1024 * 1024


def status(line: str, *headers: str) -> Talk:
    return saying("\r\n".join([f"HTTP/1.1 {line}", "content-length: 0", *headers, "", ""]))


async def ten_megabytes(_head: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10485760\r\n\r\n")
    for _ in range(10):
        writer.write(MEGABYTE)
        await writer.drain()


async def slowly(_head: bytes, writer: asyncio.StreamWriter) -> None:
    """A byte now and then, for ever: no single read takes long."""
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await writer.drain()
        await asyncio.to_thread(lambda: None)


class OnSockets(Receivers):
    """No script: what really listens, given little time."""

    def __init__(self) -> None:
        super().__init__()
        self._client = HttpClient(aiohttp.TCPConnector, attempt_seconds=0.3)

    async def send(self, request: Request) -> Answer:
        return await self._client.send(request)

    async def close(self) -> None:
        await self._client.close()


def hooked(*urls: str) -> Config:
    channels = {
        f"hook-{n}": {"kind": "webhook", "url": url, "secret": SECRET, "allow_private": True}
        for n, url in enumerate(urls)
    }
    playbook = {"on": "usage.stopped", "send": list(channels)}
    return Config.model_validate({"products": {"reserve": {"playbooks": [playbook]}}, "channels": channels})


@pytest.mark.parametrize(
    ("talk", "state", "said"),
    [
        (status("500 Oops"), "pending", "500"),
        (status("429 Slow Down", "retry-after: 120"), "pending", "429"),
        (status("410 Gone"), "dead", "410: the endpoint wants no more"),
        (status("301 Moved", "location: http://127.0.0.1:1/"), "pending", "301: redirects are not followed"),
        (never, "pending", "no answer in time"),
        (slowly, "pending", "no answer in time"),
        (ten_megabytes, "delivered", ""),
        (saying(""), "pending", "Server disconnected"),
        (FINE, "delivered", ""),
    ],
    ids=["500", "429", "410", "301", "nothing", "slowly", "10 MB", "hangs up", "200"],
)
async def test_a_receiver_of_any_kind_has_its_end_and_its_line_in_the_log(
    tmp_path: Path, talk: Talk, state: str, said: str
) -> None:
    async with (
        receiver(talk) as made,
        receiver(FINE) as other,
        world(tmp_path, hooked(made.url, other.url), lambda _clock: OnSockets()) as here,
    ):
        await here.read(stop())
        await here.send()
        found = {d.channel: d for d in await here.deliveries()}
        assert found["hook-1"].state == "delivered"
        assert found["hook-0"].state == state
        assert said in found["hook-0"].last_error
        assert len(made.requests) == 1
        (attempt,) = [row for row in await here.rows("attempts") if row.delivery_id == found["hook-0"].id]
        assert said in attempt.detail
        disabled = [row.channel for row in await here.rows("channel_states") if row.disabled_us is not None]
        assert disabled == (["hook-0"] if state == "dead" else [])
