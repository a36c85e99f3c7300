"""The demo from curtain to curtain: a throw-away service on a fast clock, and everybody who plays in it."""

import asyncio
import secrets
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import httpx

from services.bootstrap import Assembly, Foundations, assemble
from services.commands.demonstration.clock import SECOND_US, FastClock
from services.commands.demonstration.colleagues import Colleagues
from services.commands.demonstration.stage import Stage, first_moment
from services.commands.demonstration.telling import Telling
from services.commands.remote import Remote
from services.foundations import embedded
from services.notifier.web.access import is_loopback
from services.notifier.web.users import Users
from services.serving import serve, url_of
from shared.clock import Clock, from_us, to_us
from shared.config import Config
from shared.config_file import parse_config
from shared.errors import UsageTriggersError
from shared.settings import Settings

PRODUCT = "reserve"
SEED = 7
DAY_SECONDS = 24 * 3600
WARM_UP_DAYS = 2
WARM_UP_SECONDS_PER_DAY = 5.0
CURTAIN_MINUTES = 55
"""The reader's first day begins at 13:55, five minutes before the cutoff."""

TICK_EVERY_SECONDS = 0.1
GUEST = "guest"
SESSION_HOURS = 24 * 30
"""By the stage's clock, on which a usual session would be over within the minute."""

Say = Callable[[str], None]


def demo_config() -> Config:
    """The demo's own configuration file."""
    text = (
        files("services.commands.demonstration").joinpath("usage-triggers.yaml").read_text(encoding="utf-8")
    )
    return parse_config(text, name="usage-triggers.yaml", environ={})


async def show(
    listener: socket.socket, *, clock: Clock, seconds_per_day: float, seconds: float | None, say: Say
) -> None:
    """Plays until stopped, or for `seconds`; `clock` is the machine's, the stage's runs on it, faster."""
    stage_clock = FastClock(clock, at_us=to_us(first_moment(clock.now_us(), WARM_UP_DAYS)))
    with tempfile.TemporaryDirectory(prefix="usage-triggers-demo-") as directory:
        host = listener.getsockname()[0]
        settings = Settings.model_validate(
            {"USAGE_TRIGGERS_DATA": Path(directory), "HOST": host, "SESSION_HOURS": SESSION_HOURS}
        )
        async with embedded(demo_config(), settings, stage_clock) as base:
            if not is_loopback(host):
                await _let_in_a_guest(base, say)
            assembly = assemble(base)
            play = _Play(base, assembly, stage_clock, url_of(listener), seconds_per_day, say)
            stop = asyncio.Event()
            ending = asyncio.create_task(_end_after(seconds, stop))
            try:
                await serve(assembly, listener, on_ready=play.begin, stop=stop)
            finally:
                ending.cancel()
                await play.end()


async def _let_in_a_guest(base: Foundations, say: Say) -> None:
    """Whoever can reach the machine could come in unasked otherwise; the inbox does not allow that."""
    password = secrets.token_urlsafe(9)
    await Users(base.database, base.clock).add(GUEST, role="admin", password=password)
    say(f"Others can reach this machine, so the inbox asks: sign in as {GUEST}, password {password}")


class _Play:
    """Begins when the service answers, ends with it."""

    def __init__(
        self,
        base: Foundations,
        assembly: Assembly,
        clock: FastClock,
        url: str,
        seconds_per_day: float,
        say: Say,
    ) -> None:
        self._base = base
        self._assembly = assembly
        self._clock = clock
        self._url = url
        self._seconds_per_day = seconds_per_day
        self._say = say
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        key = await self._base.keys.create(PRODUCT, name="demo")
        async with Remote(self._url, key) as remote:
            curtain_us = self._clock.now_us() + (WARM_UP_DAYS * 24 * 60 + CURTAIN_MINUTES) * 60 * SECOND_US
            stage = Stage(remote, self._clock, seed=SEED, live_on=from_us(curtain_us).date())
            self._say(f"{len(stage.restaurants)} restaurants and 5 months of their use are read in ...")
            use_count = await stage.set_up()
            self._say(f"{use_count:,} events in. Open the inbox: {self._url}/    (API: {self._url}/docs)")
            self._say(f"An API key to try it with: {key}")
            colleagues = Colleagues(remote, self._clock, seed=SEED, until_us=curtain_us)
            telling = Telling(self._base.log, self._clock, self._base.config.csms, self._say)
            try:
                async with asyncio.TaskGroup() as players:
                    for player in (stage, colleagues, telling):
                        players.create_task(player.run(asyncio.Event()))
                    await self._let_time_run(curtain_us)
            except* (UsageTriggersError, httpx.HTTPError) as errors:
                self._say(f"the demo has stopped: {errors.exceptions[0]}")

    async def _let_time_run(self, curtain_us: int) -> None:
        self._clock.run_at(DAY_SECONDS / WARM_UP_SECONDS_PER_DAY)
        while self._clock.now_us() < curtain_us:
            await self._tick()
        self._clock.run_at(DAY_SECONDS / self._seconds_per_day)
        self._say(f"From here on a day takes {self._seconds_per_day:g} seconds; Ctrl-C ends it.")
        while True:
            await self._tick()

    async def _tick(self) -> None:
        # The ticker waits by the machine's clock; on a stage where a day takes a minute that is too long.
        await self._assembly.workers["ticker"].step()
        await asyncio.sleep(TICK_EVERY_SECONDS)


async def _end_after(seconds: float | None, stop: asyncio.Event) -> None:
    if seconds is not None:
        await asyncio.sleep(seconds)
        stop.set()
