"""The one function that wires everything: foundations in, an application and its workers out.

`assemble` is the same for every shape; only the foundations differ (`services/foundations.py`), and
tests pass theirs. Nothing runs yet when it returns: `services/serving.py` and tests start the workers.
"""

import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import date
from typing import TYPE_CHECKING, Literal, get_args
from uuid import uuid4

import msgspec
from fastapi import APIRouter, FastAPI

from services.supervisor import Supervisor, Worker
from shared import tracing
from shared.auth import KeyRing
from shared.body import LimitBodies
from shared.bytes_routes import Shortcut
from shared.clock import Clock
from shared.config import Config
from shared.database import Database
from shared.http import Check, RequestMetrics, install_errors, probes
from shared.log import Log
from shared.log.traced import TracedLog
from shared.settings import Settings
from shared.traced_requests import TracedRequests

if TYPE_CHECKING:
    from services.evaluator.core.rules import Product
    from services.notifier.channels.http import ClientFactory
    from services.notifier.parts import DaysOf, StandingOf

Service = Literal["ingest", "evaluator", "notifier"]
SERVICES: tuple[Service, ...] = get_args(Service)


class Foundations(msgspec.Struct, frozen=True, kw_only=True):
    """What the services stand on.

    `random` is for jitter alone; ids that must repeat are derived. `open_client` speaks HTTP to the
    outside; None: the real one. `upkeep` are the workers that the foundations themselves need.
    """

    config: Config
    settings: Settings
    clock: Clock
    database: Database
    log: Log
    keys: KeyRing
    random: random.Random
    make_id: Callable[[], str] = lambda: str(uuid4())
    open_client: "ClientFactory | None" = None
    upkeep: Mapping[str, Worker] = {}


class Room(msgspec.Struct, kw_only=True):
    """What one service brings: routers, workers, readiness checks, and how to close it.

    `hang_up` ends what would otherwise go on answering for ever, before the server waits for answers to end.
    """

    routers: list[APIRouter] = []
    workers: dict[str, Worker] = {}
    checks: dict[str, Check] = {}
    hang_up: list[Callable[[], None]] = []
    close: list[Callable[[], Awaitable[None]]] = []


class Assembly:
    """An application and its workers, wired and not yet running; tests step the workers themselves."""

    def __init__(
        self, app: FastAPI, supervisor: Supervisor, workers: Mapping[str, Worker], rooms: Collection[Room]
    ) -> None:
        self.app = app
        self.supervisor = supervisor
        self.workers = workers
        self._rooms = rooms

    def hang_up(self) -> None:
        """Ends the answers that have no end of their own."""
        for room in self._rooms:
            for hang_up in room.hang_up:
                hang_up()

    async def close(self) -> None:
        """Stops the workers and closes what the services opened; the foundations are the caller's."""
        await self.supervisor.stop()
        for room in self._rooms:
            for close in room.close:
                await close()


def assemble(base: Foundations, services: Collection[Service] = SERVICES) -> Assembly:
    """Wires `services` on `base` into one application. Raises ConfigError for what cannot be used."""
    from shared.api_page import install_api_page

    base = _traced(base) if tracing.is_on() else base
    make: Mapping[Service, Callable[[Foundations], Room]] = {
        "ingest": _ingest,
        "evaluator": _evaluator,
        "notifier": _notifier,
    }
    rooms = [make[service](base) for service in SERVICES if service in services]
    workers = {name: worker for room in rooms for name, worker in room.workers.items()} | dict(base.upkeep)
    supervisor = Supervisor(workers)
    routers = [router for room in rooms for router in room.routers]
    app = FastAPI(
        title="usage-triggers",
        summary="Usage events in, a call task out on the very day a customer stops using the product.",
        docs_url=None,
        redoc_url=None,
        # FastAPI's own spans and counters are not used, and to ask whether they are costs every request.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    install_errors(app)
    app.add_middleware(LimitBodies)
    app.add_middleware(Shortcut, routes=[route for router in routers for route in router.routes], like=app)
    app.add_middleware(RequestMetrics)
    if tracing.is_on():
        app.add_middleware(TracedRequests)
    needs_database = any(room.workers for room in rooms)
    app.include_router(probes(_checks(base, supervisor, rooms, needs_database=needs_database)))
    for router in routers:
        app.include_router(router)
    install_api_page(app)
    return Assembly(app, supervisor, workers, rooms)


def _traced(base: Foundations) -> Foundations:
    return msgspec.structs.replace(base, log=TracedLog(base.log))


def _checks(
    base: Foundations, supervisor: Supervisor, rooms: Collection[Room], *, needs_database: bool
) -> dict[str, Check]:
    checks: dict[str, Check] = {
        "log": base.log.check,
        **({"database": base.keys.check} if needs_database else {"keys": base.keys.check_usable}),
        "workers": supervisor.check,
    }
    for room in rooms:
        checks |= room.checks
    return checks


def _ingest(base: Foundations) -> Room:
    from services.ingest.intake import IngestParts
    from services.ingest.routes import router

    parts = IngestParts(
        config=base.config,
        log=base.log,
        keys=base.keys,
        clock=base.clock,
        make_id=base.make_id,
        events_per_second_max=base.settings.events_per_second_max,
    )
    return Room(routers=[router(parts)])


def _evaluator(base: Foundations) -> Room:
    from services.evaluator.api import ReadingParts, router
    from services.evaluator.relay import Relay
    from services.evaluator.store import EvaluatorStore
    from services.evaluator.ticker import Ticker
    from services.evaluator.worker import Evaluator
    from services.pruning import Pruning

    store = EvaluatorStore(base.database)
    products = _products(base.config)
    relay = Relay(store=store, log=base.log, clock=base.clock, partitions=lambda: evaluator.partitions())
    evaluator = Evaluator(
        log=base.log,
        store=store,
        products=products,
        clock=base.clock,
        cached_customers_max=base.settings.cached_customers_max,
        on_outbox=relay.wake,
    )
    ticker = Ticker(
        log=base.log,
        clock=base.clock,
        awaiting=evaluator.awaiting_ticks,
        every_seconds=base.settings.tick_every_seconds,
    )
    pruning = Pruning(
        base.database, base.clock, base.config.retention, log_hours=base.settings.kafka_retention_hours
    )
    parts = ReadingParts(
        store=store,
        products=products,
        keyring=base.keys,
        clock=base.clock,
        log_hours=base.settings.kafka_retention_hours,
    )
    return Room(
        routers=[router(parts)],
        workers={"evaluator": evaluator, "ticker": ticker, "relay": relay, "pruning": pruning},
        checks={"evaluator": evaluator.check},
    )


def _notifier(base: Foundations) -> Room:
    from services.letters import LogLetters
    from services.notifier.channels.http import open_client
    from services.notifier.parts import NotifierParts
    from services.notifier.web.entrance import Entrance, door_of
    from services.notifier.wiring import Notifier

    parts = NotifierParts(
        config=base.config,
        database=base.database,
        log=base.log,
        keys=base.keys,
        clock=base.clock,
        random=base.random,
        open_client=base.open_client or open_client,
        public_url=base.settings.public_url,
        days_of=_days_of(base),
        standing_of=_standing_of(base),
        letters=LogLetters(base.log, base.config, base.clock, base.make_id),
    )
    notifier = Notifier(parts)
    entrance = Entrance(door_of(base.settings), base.config, base.database, base.clock)
    site = notifier.pages(entrance)
    return Room(
        routers=[notifier.api, site.router],
        workers={
            "notifier": notifier.intake,
            "sender": notifier.sender,
            "timekeeper": notifier.timekeeper,
        },
        hang_up=[site.pulse.hang_up],
        close=[notifier.close],
    )


async def check_entrance(base: Foundations) -> None:
    """Raises SetupError where the inbox would be open to whoever can reach it."""
    from services.notifier.web.entrance import check_door, door_of

    await check_door(door_of(base.settings), base.database)


def _products(config: Config) -> "dict[str, Product]":
    from services.evaluator.core.rules import compile_product

    return {name: compile_product(name, section) for name, section in config.products.items()}


def _days_of(base: Foundations) -> "DaysOf":
    """A customer's calendar for the inbox: both services use one database, so it is read, not asked for."""
    from services.evaluator.partition import decoded
    from services.evaluator.reading import days_between
    from services.evaluator.store import EvaluatorStore
    from services.notifier.parts import Day

    store = EvaluatorStore(base.database)

    async def days_of(product: str, customer_id: str, first_on: date, last_on: date) -> list[Day]:
        row = await store.customer(product, customer_id)
        if row is None:
            return []
        excused = (await store.excused(row.partition)).get(product, frozenset())
        first, last = first_on.toordinal(), last_on.toordinal()
        return msgspec.convert(days_between(decoded(row), first=first, last=last, excused=excused), list[Day])

    return days_of


def _standing_of(base: Foundations) -> "StandingOf":
    """Where a customer stands, read as its calendar is."""
    from services.evaluator import reading
    from services.evaluator.partition import decoded
    from services.evaluator.store import EvaluatorStore
    from services.notifier.parts import Standing

    store = EvaluatorStore(base.database)
    products = _products(base.config)

    async def standing_of(product: str, customer_id: str) -> Standing:
        row = await store.customer(product, customer_id)
        if row is None or product not in products:
            return Standing()
        state = decoded(row)
        excused = (await store.excused(row.partition)).get(product, frozenset())
        today = reading.today(state, base.clock.now_us())
        found = {
            "streaks": reading.streaks(state, products[product], today=today, excused=excused),
            "counts": reading.open_counts(state, products[product], excused=excused),
        }
        return msgspec.convert(found, Standing)

    return standing_of
