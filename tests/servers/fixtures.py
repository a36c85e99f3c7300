"""Servers as fixtures: closed at the end; a missing one skips its tests, or fails them in CI."""

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from tests.servers.base import Missing
from tests.servers.cluster import KafkaCluster
from tests.servers.kafka import KafkaServer
from tests.servers.postgres import PostgresServer

ServerT = TypeVar("ServerT", KafkaServer, KafkaCluster, PostgresServer)


def until_closed(find: Callable[[], ServerT]) -> Iterator[ServerT]:
    """What `find` finds, closed at the end; for `yield from` in a fixture."""
    try:
        server = find()
    except Missing as missing:
        # On a developer's machine a missing server is worth a line; in CI it must be there.
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    try:
        yield server
    finally:
        server.close()
