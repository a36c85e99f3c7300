"""One run: a plan is carried out on simulated machines while things go wrong, until all is at rest again."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random

from services.evaluator.core.rules import compile_product
from services.notifier.tasks.lifecycle import OUTCOMES, Step, Task, acknowledge, finish, snooze
from shared.clock import rfc3339
from shared.errors import Conflict, InvalidInput, LogUnavailable, NotFound, TransientError
from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS, DayExcused, encode
from shared.log import Message
from tests.simulation.broker import SESSION_SECONDS, Broker
from tests.simulation.chaos import Chaos
from tests.simulation.disk import Disk, scratch
from tests.simulation.loop import NoRest, VirtualLoop
from tests.simulation.machine import Machine
from tests.simulation.pipeline import EvaluatorService, Ground, IngestService, NotifierService, Service
from tests.simulation.plan import DAY, HOUR, SECOND_US, Excuse, Plan
from tests.simulation.receiver import Receivers
from tests.simulation.traffic import Traffic

REST_DAYS_MAX = 12
"""Retries go on for a day, and a call window may be a long weekend away; after that all must be at rest."""

LOOK_SECONDS = 1800.0


class World:
    """Everything there is in a run. `violations` are what is wrong with it, one line each."""

    def __init__(self, plan: Plan, *, tell: Callable[[str], None] | None = None) -> None:
        self.plan = plan
        self.random = Random(f"world {plan.seed}")
        self.violations: list[str] = []
        self.services: list[Service] = []
        self.machine_count = 0
        self._tell = tell
        self._hash = hashlib.blake2b(digest_size=8)
        self._loop = VirtualLoop()
        self._directory = Path(tempfile.mkdtemp(dir=scratch()))
        self.disk = Disk(self._directory, self.random)
        self.broker = Broker(now_us=self.true_us, random=self.random, partitions=plan.partitions)
        self.receivers = Receivers(self.random)
        self.traffic = Traffic(random=self.random, ingests=self._ingests, true_us=self.true_us)
        self.products = {
            name: compile_product(name, section) for name, section in plan.config.products.items()
        }
        self._ground = Ground(
            config=plan.config,
            products=self.products,
            broker=self.broker,
            disk=self.disk,
            receivers=self.receivers,
        )
        self.broker.on_append.append(self._appended)
        self.broker.on_shared_out.append(self._appended)
        self.disk.on_commit.append(self._committed)

    # The run

    def run(self) -> None:
        """To its end, or to the point at which it does not come to rest."""
        try:
            self._loop.run_until_complete(self._run())
        except NoRest as error:
            self.violations.append(f"no rest: {error}")
        for service in self.services:
            self.violations += service.broken
        self.violations += self.traffic.failures + self.disk.violations

    def close(self) -> None:
        """Ends what is still running and gives the disk back."""
        for service in self.services:
            service.machine.is_dead = True
        self._loop.wind_up()
        self._loop.close()
        self.disk.close()
        shutil.rmtree(self._directory)

    @property
    def trace(self) -> str:
        """A digest of everything that happened, in its order."""
        return self._hash.hexdigest()

    @property
    def record_count(self) -> int:
        """How many events, profiles and ticks there are in the log."""
        return sum(self.broker.end(TOPIC_EVENTS, n) for n in range(self.plan.partitions))

    def true_us(self) -> int:
        return self.plan.start_us + int(self._loop.time() * SECOND_US)

    def note(self, who: str, what: str) -> None:
        line = f"{self._loop.time():.6f} {who}: {what}"
        self._hash.update(line.encode())
        if self._tell is not None:
            self._tell(f"{rfc3339(self.true_us())} {who}: {what}")

    async def _run(self) -> None:
        for kind in (IngestService, EvaluatorService, NotifierService):
            for _ in range(1 if kind is IngestService else self.random.choice((1, 2, 2))):
                self.add(kind)
        chaos = Chaos(self, Random(f"chaos {self.plan.seed}"))
        await asyncio.gather(
            self._send_all(),
            self._excuse_all(),
            self._call_customers(),
            chaos.run(self.plan.ends_at),
        )
        while any(service.machine.is_frozen for service in self.alive()):  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(LOOK_SECONDS)
        await asyncio.sleep(self.random.random() * 2 * DAY)
        for service in self.alive():
            service.lag = {"ticker": float("inf")} if isinstance(service, EvaluatorService) else {}
        await self._come_to_rest()

    async def _come_to_rest(self) -> None:
        for _ in range(int(REST_DAYS_MAX * DAY / LOOK_SECONDS)):
            await asyncio.sleep(LOOK_SECONDS)
            if not any(self._unrest()):
                self.note("world", "at rest")
                return
        self.violations += [f"no rest: {what}" for what in self._unrest()]

    def _unrest(self) -> Iterable[str]:
        if self.traffic.unanswered_count:
            yield f"{self.traffic.unanswered_count} requests are not answered"
        for reader, topic in (("evaluator", TOPIC_EVENTS), ("notifier", TOPIC_TRIGGERS)):
            query = "SELECT partition, next_offset FROM positions WHERE reader = ?"
            stored = dict(self.disk.look(query, reader))
            for partition in range(self.plan.partitions):
                end = self.broker.end(topic, partition)
                if stored.get(partition, 0) != end:
                    yield f"{reader} stands at {stored.get(partition)} of {end} in {topic}/{partition}"
        for what, query in (
            ("unsent", "SELECT id FROM outbox WHERE sent_us IS NULL"),
            ("undelivered", "SELECT id FROM deliveries WHERE next_attempt_us IS NOT NULL"),
            ("waiting", "SELECT id FROM tasks WHERE wake_us IS NOT NULL"),
            ("a day of calls", "SELECT id FROM call_days WHERE wake_us IS NOT NULL"),
        ):
            for (row_id,) in self.disk.look(query):
                yield f"{what}: {row_id}"

    # Machines

    def alive(self) -> list[Service]:
        return [service for service in self.services if not service.machine.is_dead]

    def add(self, kind: type[Service]) -> None:
        self.machine_count += 1
        machine = Machine(
            f"{kind.__name__.removesuffix('Service').lower()}-{self.machine_count}",
            random=self.random,
            true_us=self.true_us,
            note=self.note,
        )
        machine.on_death.append(lambda: self.disk.abandon(machine))
        machine.on_death.append(lambda: self._miss(machine))
        machine.on_freeze.append(lambda _until: self._miss(machine))
        service = kind(machine, self._ground, self.random)
        self.services.append(service)
        self.note(machine.name, "starts")
        service.start()

    def replace(self, service: Service) -> None:
        self.add(type(service))

    def _miss(self, machine: Machine) -> None:
        """The group finds out after a session that somebody is gone, or frozen for longer than that."""

        def look() -> None:
            if machine.is_dead or machine.is_frozen:
                self.broker.expel(machine)

        self._loop.call_later(SESSION_SECONDS, look)

    def _ingests(self) -> list[IngestService]:
        return [service for service in self.services if isinstance(service, IngestService)]

    def _appended(self, topic: str) -> None:
        worker = {TOPIC_EVENTS: "evaluator", TOPIC_TRIGGERS: "intake"}.get(topic)
        if worker is not None:
            for service in self.alive():
                if worker in service.workers:
                    service.ring(worker, slowly=True)

    def _committed(self, machine: Machine) -> None:
        if machine.name.startswith("evaluator"):
            return  # Whatever it decided goes through the log.
        for service in self.alive():
            if isinstance(service, NotifierService):
                service.ring("sender")
                service.ring("timekeeper")

    # What comes from outside

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(at - self._loop.time(), 0))

    async def _send_all(self) -> None:
        sending = []
        for request in self.plan.requests:
            await self._until(request.at)
            sending.append(self._loop.create_task(self.traffic.send(request)))
        await asyncio.gather(*sending)

    async def _excuse_all(self) -> None:
        for excuse in self.plan.excuses:
            await self._until(excuse.at)
            for partition in range(self.plan.partitions):
                await self._excuse(excuse, partition)

    async def _excuse(self, excuse: Excuse, partition: int) -> None:
        """From an operator's own machine, tried until it is certain."""
        operator = Machine("operator", random=self.random, true_us=self.true_us, note=self.note)
        log = self.broker.client(operator)
        message = DayExcused(product=excuse.product, day=excuse.day, received_us=self.true_us())
        while True:
            try:
                await log.append(TOPIC_EVENTS, [Message(value=encode(message), partition=partition)])
            except LogUnavailable:
                await asyncio.sleep(60)
            else:
                return

    async def _call_customers(self) -> None:
        """Customer success managers take calls, put them off and make them."""
        random = Random(f"calls {self.plan.seed}")
        pace = random.choice((6 * HOUR, DAY, 20 * DAY))
        while self._loop.time() < self.plan.ends_at:
            await asyncio.sleep(random.expovariate(1 / pace))
            open_ids = [
                row[0] for row in self.disk.look("SELECT id FROM tasks WHERE closed_us IS NULL ORDER BY id")
            ]
            notifiers = [service for service in self.alive() if isinstance(service, NotifierService)]
            if open_ids and notifiers:
                service = random.choice(notifiers)
                self.note("csm", "does something")
                await asyncio.wait([service.machine.spawn(_change(service, random.choice(open_ids), random))])


async def _change(service: NotifierService, task_id: str, random: Random) -> None:
    draw = random.random()

    def decide(task: Task, now_us: int) -> Step:
        if draw < 0.4:
            return acknowledge(task, "hanako", now_us)
        if draw < 0.6:
            return snooze(task, "hanako", now_us + int(draw * DAY) * SECOND_US, "later", now_us)
        return finish(task, "hanako", OUTCOMES[int(draw * 100) % len(OUTCOMES)], "", now_us)

    try:
        await service.desk.change(task_id, decide)
    except (Conflict, InvalidInput, NotFound, TransientError):
        return
