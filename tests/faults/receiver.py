"""A webhook's receiver that takes everything and remembers it."""

import asyncio
import base64
from collections.abc import Mapping
from typing import Any, Self

from sqlalchemy import select

from shared.events import TOPIC_TRIGGERS
from shared.schema import deliveries, task_triggers
from shared.triggers import decode_trigger
from tests.faults.place import REST_SECONDS_MAX, Place, Snapshot

_ANSWER = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


class Receiver:
    """`async with` opens it; `received` are the bodies by their `webhook-id`, one list an id."""

    def __init__(self) -> None:
        self.received: dict[str, list[bytes]] = {}
        self._server: asyncio.Server | None = None
        self.url = ""

    def configuration(self, section: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """A product's section that sends its stops here, and the channels that go with it."""
        playbooks = [{"on": "usage.stopped", "send": ["hook"]}]
        guard = {"min_customers": 1_000_000}
        hook = {
            "kind": "webhook",
            "url": self.url,
            "secret": _SECRET,
            "timing": "at_once",
            "allow_private": True,
        }
        return {**section, "playbooks": playbooks, "guard": guard}, {"hook": hook}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{host}:{port}/hook"
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            body = await reader.readexactly(int(headers["content-length"]))
            self.received.setdefault(headers["webhook-id"], []).append(body)
            writer.write(_ANSWER)
            await writer.drain()
        except (OSError, EOFError):
            return  # a sender that was killed in the middle
        finally:
            writer.close()


async def all_delivered(place: Place, receiver: Receiver, seen: Snapshot) -> None:
    """Fails unless every stop has become known to a task, and every delivery has arrived under one id."""
    stops = {
        trigger.id
        for entry in seen.outbox
        if entry.topic == TOPIC_TRIGGERS and (trigger := decode_trigger(entry.value)).type == "usage.stopped"
    }
    async with asyncio.timeout(REST_SECONDS_MAX):
        while not (await _known(place) >= stops and not await _pending(place)):
            await place.look_again()
    delivered = await _delivered(place)
    assert delivered, "nothing was delivered: nothing was tried"
    assert delivered <= receiver.received.keys()
    twice = {id_ for id_, bodies in receiver.received.items() if len(set(bodies)) > 1}
    assert not twice, f"one id, two contents: {twice}"


async def _known(place: Place) -> set[str]:
    async with place.database.read() as connection:
        return set((await connection.execute(select(task_triggers.c.trigger_id))).scalars())


async def _pending(place: Place) -> int:
    query = select(deliveries.c.id).where(deliveries.c.state == "pending")
    async with place.database.read() as connection:
        return len((await connection.execute(query)).all())


async def _delivered(place: Place) -> set[str]:
    query = select(deliveries.c.trigger_id).where(deliveries.c.state == "delivered")
    async with place.database.read() as connection:
        return set((await connection.execute(query)).scalars())
