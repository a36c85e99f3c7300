"""The servers of the fault tests, which are killed, frozen and cut off, and the places of one test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pytest

from tests.faults.place import DistributedPlace, EmbeddedPlace, Place
from tests.servers import KafkaServer, PostgresServer, find_kafka, find_postgres
from tests.servers.base import free_port
from tests.servers.cluster import KafkaCluster, find_cluster
from tests.servers.fixtures import until_closed
from tests.servers.proxy import Proxy

OpenPlace = Callable[..., Awaitable[Place]]
OpenDistributed = Callable[..., Awaitable[DistributedPlace]]
OpenEmbedded = Callable[..., Awaitable[EmbeddedPlace]]


Figure = Callable[[str, float, float], None]
"""What was measured, its seconds, and the seconds promised."""

FIGURES = pytest.StashKey[dict[tuple[str, float], list[float]]]()


@pytest.fixture(scope="session")
def figure(request: pytest.FixtureRequest) -> Figure:
    """Keeps a figure for the end of the run: how long something took is told, and fails nothing."""
    figures = request.config.stash.setdefault(FIGURES, {})

    def keep(what: str, seconds: float, promised: float) -> None:
        figures.setdefault((what, promised), []).append(seconds)

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for (what, promised), seconds in sorted(config.stash.get(FIGURES, {}).items()):
        terminalreporter.write_line(
            f"{what}: median {median(seconds):.1f} s, longest {max(seconds):.1f} s of {len(seconds)} "
            f"(promised: {promised:g} s)"
        )


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Where the broker listens for a proxy, and where it tells those who come through it to go."""

    behind: int
    before: int


@pytest.fixture(scope="session")
def broker_ports() -> Ports:
    return Ports(behind=free_port(), before=free_port())


@pytest.fixture(scope="session")
def broker(broker_ports: Ports) -> Iterator[KafkaServer]:
    """Apache Kafka of the fault tests' own, with a second listener to be reached through a proxy."""
    properties = {
        "listeners": f"PROXIED://127.0.0.1:{broker_ports.behind}",
        "advertised.listeners": f"PROXIED://127.0.0.1:{broker_ports.before}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    yield from until_closed(lambda: find_kafka(properties))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """PostgreSQL of the fault tests' own."""
    yield from until_closed(lambda: find_postgres(own=True))


@asynccontextmanager
async def distributed_place(
    directory: Path, broker: KafkaServer | KafkaCluster, server: PostgresServer, *arguments: Any, **more: Any
) -> AsyncIterator[DistributedPlace]:
    """Topics and a database of its own, removed at the end."""
    url = await server.create_database()
    try:
        async with DistributedPlace(directory, broker.bootstrap_servers, url, *arguments, **more) as place:
            yield place
    finally:
        await server.drop_database(url)


@pytest.fixture
async def open_embedded(tmp_path: Path) -> AsyncIterator[OpenEmbedded]:
    """`await open_embedded(section, ...)`: a place of one process, closed after the test."""
    async with AsyncExitStack() as stack:

        async def open_one(*arguments: Any, name: str = "place", **more: Any) -> EmbeddedPlace:
            return await stack.enter_async_context(EmbeddedPlace(tmp_path / name, *arguments, **more))

        yield open_one


@pytest.fixture
async def open_distributed(
    tmp_path: Path, broker: KafkaServer, postgres_server: PostgresServer
) -> AsyncIterator[OpenDistributed]:
    """`await open_distributed(section, ...)`: as `distributed_place`, until the end of the test."""
    async with AsyncExitStack() as stack:

        async def open_one(*arguments: Any, name: str = "place", **more: Any) -> DistributedPlace:
            return await stack.enter_async_context(
                distributed_place(tmp_path / name, broker, postgres_server, *arguments, **more)
            )

        yield open_one


@pytest.fixture
def cluster() -> Iterator[KafkaCluster]:
    """Three brokers of this test's own."""
    yield from until_closed(find_cluster)


@pytest.fixture
async def replicated_place(
    tmp_path: Path, cluster: KafkaCluster, postgres_server: PostgresServer
) -> AsyncIterator[DistributedPlace]:
    """On three brokers, each of which has every record."""
    async with distributed_place(tmp_path / "place", cluster, postgres_server, copies=3) as place:
        yield place


@pytest.fixture(params=["embedded", "distributed"])
def open_place(request: pytest.FixtureRequest) -> OpenPlace:
    """On both shapes, one after the other."""
    opener: OpenPlace = request.getfixturevalue(f"open_{request.param}")
    return opener


@pytest.fixture
async def broker_line(broker: KafkaServer, broker_ports: Ports) -> AsyncIterator[Proxy]:
    """A line to the broker that can be cut; for `bootstrap_servers` of a place."""
    async with Proxy(broker_ports.behind, port=broker_ports.before) as proxy:
        yield proxy


@pytest.fixture
async def database_line(postgres_server: PostgresServer) -> AsyncIterator[Proxy]:
    """A line to the database that can be cut; `through` makes a URL go through it."""
    async with Proxy(int(postgres_server.url.rpartition(":")[2].split("/")[0])) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> str:
    """The same database by way of the proxy."""
    before, _, name = url.rpartition("/")
    return f"{before.rpartition(':')[0]}:{proxy.port}/{name}"
