"""The real services on simulated machines: who is wired to whom, and when each worker takes its next step.

A worker's own `run` looks at the clock every second; months would take too long that way. So each worker's
`step` is called when there may be something to do: a bell rings, a row is due, or a long while has passed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import cache
from random import Random
from typing import Any

from fastapi import FastAPI

from services.evaluator.core.rules import Product
from services.evaluator.relay import Relay
from services.evaluator.store import EvaluatorStore
from services.evaluator.ticker import Ticker
from services.evaluator.worker import Evaluator
from services.notifier.delivery.sender import Sender
from services.notifier.desk.actions import Desk
from services.notifier.desk.intake import Intake
from services.notifier.desk.timekeeper import Timekeeper
from services.notifier.parts import NotifierParts
from services.notifier.wiring import open_channels
from shared.auth import ApiKey, KeyRing
from shared.config import Config
from shared.database import Database
from shared.errors import TransientError, Unauthorized
from shared.log import Message
from tests.serving import ingest_on, standing_on
from tests.simulation.broker import Broker
from tests.simulation.disk import Disk
from tests.simulation.machine import Machine
from tests.simulation.plan import LATE_WINDOW_DAYS, PRODUCTS
from tests.simulation.receiver import Receivers, SimClient

SOON = -1.0
"""Rests after which a worker tries again: a little longer than a second, then ever longer."""

RETRY_SECONDS, RETRY_SECONDS_MAX = 1.5, 900.0
LOOKS_AFTER_REBALANCE = 12
REST_SECONDS = 6 * 3600.0
"""However quiet it is, a worker looks after so long; a real one does so every second."""

Step = Callable[[], Awaitable[bool]]
Rest = Callable[[], float]


class Keys(KeyRing):
    """The product itself is its key: who may send is no question of these runs."""

    def __init__(self) -> None:
        """No database is asked."""

    async def authenticate(self, secret: str) -> ApiKey:
        if not secret:
            raise Unauthorized("no key")
        return ApiKey(prefix=secret, product=secret, scopes=("admin",), created_us=0)


class Ground:
    """What all machines of a run share."""

    def __init__(
        self,
        *,
        config: Config,
        products: dict[str, Product],
        broker: Broker,
        disk: Disk,
        receivers: Receivers,
    ) -> None:
        self.config = config
        self.products = products
        self.broker = broker
        self.disk = disk
        self.receivers = receivers


class Service:
    """A service on a machine. `lag[worker]` holds a worker back until an instant of the loop."""

    def __init__(self, machine: Machine, ground: Ground, random: Random) -> None:
        self.machine = machine
        self.ground = ground
        self.random = random
        self.database: Database = ground.disk.database(machine)
        self.log = ground.broker.client(machine)
        self.lag: dict[str, float] = {}
        self.pace = random.choice((0.5, 0.5, 60.0, 900.0, 7200.0))
        self.broken: list[str] = []

    workers: tuple[str, ...] = ()

    def start(self) -> None:
        """Builds the service and sets its workers going."""

    async def leave(self) -> None:
        """Ends as on SIGTERM: leaves the groups at once."""
        self.machine.kill()

    def drive(self, worker: str, step: Step, rest: Rest) -> None:
        self.machine.spawn(self._driven(worker, step, rest))

    def ring(self, worker: str, *, slowly: bool = False) -> None:
        """There may be something to do; `slowly` as this machine happens to look."""
        if slowly:
            delay = self.random.random() * self.pace
            asyncio.get_running_loop().call_later(delay, self.machine.ring, worker)
        else:
            self.machine.ring(worker)

    async def _driven(self, worker: str, step: Step, rest: Rest) -> None:
        bell = self.machine.bell(worker)
        retry_seconds = RETRY_SECONDS
        while True:
            await self._held_back(worker)
            bell.clear()
            try:
                while await step():
                    retry_seconds = RETRY_SECONDS
                    await self._held_back(worker)
                seconds = rest()
            except TransientError:
                seconds = SOON
            except Exception as error:
                self.broken.append(f"{self.machine.name} {worker}: {type(error).__name__}: {error}")
                raise
            if seconds is SOON:
                seconds, retry_seconds = retry_seconds, min(retry_seconds * 2, RETRY_SECONDS_MAX)
            await _rung(bell, min(seconds, REST_SECONDS))

    async def _held_back(self, worker: str) -> None:
        loop = asyncio.get_running_loop()
        while (seconds := self.lag.get(worker, 0.0) - loop.time()) > 0:  # noqa: ASYNC110 (it may grow)
            await asyncio.sleep(seconds)

    def _until(self, at_us: int | None) -> float:
        """Seconds until an instant of this machine's clock, at the least a moment."""
        if at_us is None:
            return REST_SECONDS
        return max((at_us - self.machine.now_us()) / 1_000_000, 0.0) + 0.001 + self.random.random()


async def _rung(bell: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await bell.wait()
    except TimeoutError:
        return


class IngestService(Service):
    """Ingest's whole application, called without a socket."""

    _id_count = 0

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        """One request, on this machine."""
        _HERE.set(self)
        await _application()(scope, receive, send)

    def make_id(self) -> str:
        self._id_count += 1
        return f"{self.machine.name}/{self._id_count}"


_HERE: ContextVar[IngestService] = ContextVar("_HERE")


class _Here:
    """Log and clock of the machine that answers the current request."""

    def now_us(self) -> int:
        return _HERE.get().machine.now_us()

    async def append(self, topic: str, messages: Sequence[Message]) -> None:
        await _HERE.get().log.append(topic, messages)

    async def check(self) -> None:
        await _HERE.get().log.check()


@cache
def _application() -> FastAPI:
    """Ingest keeps no state, and its routes take longer to build than many a run: one serves all machines."""
    sections = {name: {"late_window": f"{LATE_WINDOW_DAYS}d"} for name in PRODUCTS}
    here: Any = _Here()
    return ingest_on(
        standing_on(
            config=Config.model_validate({"products": sections}),
            database=here,  # never asked: the keys are known
            log=here,
            keys=Keys(),
            clock=here,
            make_id=lambda: _HERE.get().make_id(),
        )
    )


class EvaluatorService(Service):
    """Evaluator, ticker and relay, wired as the program wires them."""

    workers = ("evaluator", "ticker", "relay")

    def start(self) -> None:
        random = self.random
        store = EvaluatorStore(self.database)
        self.evaluator = Evaluator(
            log=self.log,
            store=store,
            products=self.ground.products,
            clock=self.machine,
            cached_customers_max=random.choice((2, 4, 1000)),
            records_per_fetch_max=random.choice((3, 10, 5000, 5000)),
            customers_per_sweep_max=random.choice((1, 2, 1000, 1000)),
            fetch_wait_seconds=0.0,
            on_outbox=lambda: self.ring("relay"),
        )
        self._every_seconds = random.choice((5.0, 11.0, 23.0)) * 3600
        self.ticker = Ticker(
            log=self.log,
            clock=self.machine,
            awaiting=self.evaluator.awaiting_ticks,
            every_seconds=self._every_seconds,
        )
        self.relay = Relay(
            store=store,
            log=self.log,
            clock=self.machine,
            partitions=self.evaluator.partitions,
            rows_max=random.choice((1, 2, 500)),
        )
        self.drive("evaluator", self._evaluate, self._evaluator_rest)
        self.drive("ticker", self._tick, self._ticker_rest)
        self.drive("relay", self._send, self._relay_rest)

    async def leave(self) -> None:
        await self.evaluator.close()
        self.machine.kill()

    async def _evaluate(self) -> bool:
        owned, noticed = self.evaluator.partitions(), self.log.notice_count
        is_moved = await self.evaluator.step()
        if is_moved:
            asyncio.get_running_loop().call_later(self.random.random() * 600, self.machine.ring, "ticker")
        if self.evaluator.partitions() != owned:
            self.ring("relay")
        # What a fetch has learnt of the group is acted upon by the next step.
        return is_moved or self.log.notice_count != noticed

    def _evaluator_rest(self) -> float:
        # Trouble is tried again soon; and a position not written yet is written after a second.
        return SOON if self.evaluator.problems() or self._is_behind() else REST_SECONDS

    def _is_behind(self) -> bool:
        owned = self.evaluator.partitions()
        stored = dict(
            self.ground.disk.look("SELECT partition, next_offset FROM positions WHERE reader = 'evaluator'")
        )
        ends = {n: self.ground.broker.end("usage.events", n) for n in owned}
        return any(stored.get(n) != end for n, end in ends.items())

    async def _tick(self) -> bool:
        await self.ticker.step()
        return False

    def _ticker_rest(self) -> float:
        if self.ticker.problem() is not None:
            return SOON
        now_us = self.machine.now_us()
        dues = [due for due in self.evaluator.awaiting_ticks().values() if due is not None and due > now_us]
        return min(self._every_seconds, self._until(min(dues, default=None)))

    async def _send(self) -> bool:
        return self._has_unsent() and await self.relay.step()

    def _relay_rest(self) -> float:
        return self.random.random() * REST_SECONDS if self._has_unsent() else REST_SECONDS

    def _has_unsent(self) -> bool:
        return bool(self.ground.disk.look("SELECT 1 FROM outbox WHERE sent_us IS NULL LIMIT 1"))


class NotifierService(Service):
    """Intake, sender, timekeeper and desk, wired as the program wires them."""

    workers = ("intake", "sender", "timekeeper")

    def start(self) -> None:
        parts = NotifierParts(
            config=self.ground.config,
            database=self.database,
            log=self.log,
            keys=Keys(),
            clock=self.machine,
            random=self.random,
            open_client=lambda _allow_private: SimClient(self.machine, self.ground.receivers),
        )
        self.sender = Sender(parts, open_channels(parts))
        self.intake = Intake(parts, self._announce)
        self.timekeeper = Timekeeper(parts, self._announce)
        self.desk = Desk(parts, self._announce)
        self._looks_left = 0
        self.drive("intake", self._read, lambda: REST_SECONDS)
        self.drive("sender", self._send, self._sender_rest)
        self.drive("timekeeper", self._wake, self._timekeeper_rest)

    async def leave(self) -> None:
        await self.intake.close()
        self.machine.kill()

    def _announce(self) -> None:
        self.ring("sender")
        self.ring("timekeeper")

    async def _read(self) -> bool:
        noticed = self.log.notice_count
        is_moved = await self.intake.step()
        # It finds out by itself, after a few fetches in vain, that its positions are void.
        self._looks_left = LOOKS_AFTER_REBALANCE if self.log.notice_count != noticed else self._looks_left - 1
        return is_moved or self._looks_left > 0

    async def _send(self) -> bool:
        return self._is_past(self._next_delivery_us()) and await self.sender.step()

    async def _wake(self) -> bool:
        is_due = self._due("tasks", "wake_us") or self._due("call_days", "wake_us")
        return is_due and await self.timekeeper.step()

    def _due(self, table: str, column: str) -> bool:
        return self._is_past(self._next_us(table, column))

    def _is_past(self, at_us: int | None) -> bool:
        return at_us is not None and at_us <= self.machine.now_us()

    def _next_us(self, table: str, column: str) -> int | None:
        at_us: int | None = self.ground.disk.look(f"SELECT min({column}) FROM {table}")[0][0]
        return at_us

    def _sender_rest(self) -> float:
        return self._until(self._next_delivery_us())

    def _next_delivery_us(self) -> int | None:
        """When the next delivery is due on a channel that does not rest."""
        query = (
            "SELECT min(max(next_attempt_us, coalesce(rests_until_us, 0)))"
            " FROM deliveries LEFT JOIN channel_states USING (channel) WHERE next_attempt_us IS NOT NULL"
        )
        at_us: int | None = self.ground.disk.look(query)[0][0]
        return at_us

    def _timekeeper_rest(self) -> float:
        return min(self._until(self._next_us(table, "wake_us")) for table in ("tasks", "call_days"))
