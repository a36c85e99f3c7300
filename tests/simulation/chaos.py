"""What goes wrong in a run, drawn from its seed: who dies, freezes, lags or lies, and for how long."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS
from tests.simulation.pipeline import IngestService, Service
from tests.simulation.plan import DAY, HOUR, MINUTE

if TYPE_CHECKING:
    from tests.simulation.world import World

FUSE_MAX = 40
"""A kill or a freeze strikes at one of so many exchanges with the world from the moment it is drawn."""

DELICATE = (
    "append to",
    "append to usage.triggers",
    "appended",
    "commit",
    "committed",
    "BEGIN",
    "POST",
    "answered",
)
"""Exchanges just before or after something becomes durable; half of the strikes are kept for these."""

MACHINES_MAX = 3
HOUR_US = 3_600_000_000


class Chaos:
    """Strikes at drawn moments until `ends_at`; everything heals by itself, a while later at the most."""

    def __init__(self, world: "World", random: Random) -> None:
        self._world = world
        self._random = random
        self._healing: list[asyncio.Task[None]] = []
        self._slowness = 0.0
        self._strikes: tuple[Callable[[], None], ...] = (
            self._kill,
            self._kill,
            self._kill,
            self._freeze,
            self._freeze,
            self._hold_back,
            self._hold_back,
            self._rebalance,
            self._rebalance,
            self._more,
            self._fewer,
            self._log_away,
            self._log_doubtful,
            self._database_away,
            self._database_doubtful,
            self._unfetched,
            self._unnoticed,
            self._receivers,
            self._receivers,
            self._clock,
            self._clock,
        )

    async def run(self, ends_at: float) -> None:
        """Returns when everything that was broken is whole again."""
        per_day = self._random.choice((0.0, 1.0, 2.0, 4.0, 8.0))
        if per_day and self._random.random() < 0.5:
            # In every other run nobody ever hears of a rebalance in time: two read one partition for hours.
            self._slowness = self._world.broker.faults.unnoticed_seconds_max = self._random.choice(
                (HOUR, DAY)
            )
        moments = sorted(self._random.random() * ends_at for _ in range(round(per_day * ends_at / DAY)))
        loop = asyncio.get_running_loop()
        for moment in moments:
            await asyncio.sleep(max(moment - loop.time(), 0))
            self._random.choice(self._strikes)()
        await asyncio.sleep(max(ends_at - loop.time(), 0))
        await asyncio.gather(*self._healing)
        self._world.broker.faults.unnoticed_seconds_max = 0.0

    # How long, and whom

    def _while(self) -> float:
        longest = self._random.choice((20.0, 10 * MINUTE, 2 * HOUR, 9 * HOUR, 30 * HOUR))
        return self._random.random() * longest

    def _someone(self) -> Service:
        return self._random.choice(self._world.alive())

    def _heal(self, seconds: float, heal: Callable[[], None]) -> None:
        async def healing() -> None:
            await asyncio.sleep(seconds)
            heal()

        self._healing.append(asyncio.get_running_loop().create_task(healing()))

    def _say(self, what: str) -> None:
        self._world.note("chaos", what)

    # Machines

    def _kill(self) -> None:
        service = self._someone()
        seconds = self._random.choice((1.0, MINUTE, 2 * HOUR)) * self._random.random()

        def strike() -> None:
            if not service.machine.is_dead:
                service.machine.kill()
                self._heal(seconds, lambda: self._world.replace(service))

        self._arm(service, strike)

    def _arm(self, service: Service, strike: Callable[[], None]) -> None:
        if self._random.random() < 0.5:
            service.machine.after(self._random.randint(1, 3), strike, at=self._random.choice(DELICATE))
        else:
            service.machine.after(self._random.randint(1, FUSE_MAX), strike)

    def _freeze(self) -> None:
        service, seconds = self._someone(), self._while()
        service.machine.after(self._random.randint(1, FUSE_MAX), lambda: service.machine.freeze(seconds))

    def _hold_back(self) -> None:
        """One worker makes no step while the others of its machine go on."""
        service = self._someone()
        worker = self._random.choice(service.workers) if service.workers else None
        if worker is None:
            return
        seconds = self._while()
        self._say(f"{service.machine.name} {worker} held back for {seconds:.0f} s")
        service.lag[worker] = asyncio.get_running_loop().time() + seconds
        self._heal(seconds, lambda: None)

    def _clock(self) -> None:
        service = self._someone()
        skews_us = [-1_000_000, 2_000_000]
        if not isinstance(service, IngestService):
            # Ingest's clock says on which day a profile was received: hours apart, two of them would say two.
            skews_us += [-26 * HOUR_US, -2 * HOUR_US, 2 * HOUR_US, 30 * HOUR_US]
        skew_us = self._random.choice(skews_us)
        self._say(f"{service.machine.name} clock {skew_us / 1_000_000:+.0f} s")
        service.machine.skew_us = skew_us

        def mend() -> None:
            service.machine.skew_us = 0

        self._heal(self._while(), mend)

    def _more(self) -> None:
        kind = type(self._someone())
        if sum(1 for service in self._world.alive() if isinstance(service, kind)) < MACHINES_MAX:
            self._world.add(kind)

    def _fewer(self) -> None:
        """One leaves as on SIGTERM."""
        service = self._someone()
        if sum(1 for other in self._world.alive() if isinstance(other, type(service))) > 1:
            self._say(f"{service.machine.name} leaves")
            self._healing.append(asyncio.get_running_loop().create_task(service.leave()))

    # The group

    def _rebalance(self) -> None:
        topic = self._random.choice((TOPIC_EVENTS, TOPIC_TRIGGERS))
        self._say(f"rebalance of {topic}")
        self._world.broker.share_out_all(topic)

    def _unnoticed(self) -> None:
        self._say("members do not notice rebalances")
        faults = self._world.broker.faults
        faults.unnoticed_seconds_max = self._random.choice((10.0, 10 * MINUTE, 4 * HOUR))

        def mend() -> None:
            faults.unnoticed_seconds_max = self._slowness

        self._heal(self._while(), mend)
        self._heal(self._while(), self._rebalance)

    def _unfetched(self) -> None:
        partition = self._random.randrange(self._world.broker.partition_count)
        self._say(f"partition {partition} is not fetched")
        unfetched = self._world.broker.faults.unfetched
        unfetched.add(partition)
        self._heal(self._while(), lambda: unfetched.discard(partition))

    # Log, database, receivers

    def _log_away(self) -> None:
        self._say("log away")
        faults = self._world.broker.faults
        faults.is_away = True

        def mend() -> None:
            faults.is_away = False

        self._heal(self._while(), mend)

    def _log_doubtful(self) -> None:
        self._say("log doubtful")
        faults = self._world.broker.faults
        faults.append_share, faults.read_share = 0.3, 0.1

        def mend() -> None:
            faults.append_share = faults.read_share = 0.0

        self._heal(self._while(), mend)

    def _database_away(self) -> None:
        self._say("database away")
        disk = self._world.disk
        disk.is_away = True

        def mend() -> None:
            disk.is_away = False

        self._heal(self._while(), mend)

    def _database_doubtful(self) -> None:
        self._say("database doubtful")
        disk = self._world.disk
        disk.commit_share = 0.3

        def mend() -> None:
            disk.commit_share = 0.0

        self._heal(self._while(), mend)

    def _receivers(self) -> None:
        receivers = self._world.receivers
        receivers.mood = self._random.choice(("refuses", "silent", "takes in silence", "mixed"))
        self._say(f"receivers: {receivers.mood}")

        def mend() -> None:
            receivers.mood = "well"

        self._heal(self._while(), mend)
