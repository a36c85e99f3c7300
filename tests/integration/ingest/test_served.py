"""Ingest on real sockets and the embedded log: what curl sends, and what nobody should."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from shared.body import BODY_BYTES_MAX
from shared.events import Event, ProfileChanged
from tests.serving import Served

SLOW_CONNECTIONS = 200


def client(served: Served) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {served.key}"}
    return httpx.AsyncClient(base_url=served.url, headers=headers, timeout=60)  # a busy machine is no fault


@asynccontextmanager
async def raw(served: Served) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def head(served: Served, *headers: str) -> bytes:
    lines = ["POST /v1/events HTTP/1.1", "Host: ingest", f"Authorization: Bearer {served.key}", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


async def status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


async def test_what_is_answered_202_is_in_the_log(served: Served) -> None:
    sent = [{"customer_id": f"c-{n % 7}", "event_id": f"e-{n}", "event": "used"} for n in range(500)]
    async with client(served) as http:
        answers = [await http.post("/v1/events", json=sent[at : at + 100]) for at in range(0, 500, 100)]
        await http.put("/v1/customers/c-1", json={"name": "さくら"})
    assert [answer.status_code for answer in answers] == [202] * 5
    messages = await served.messages()
    events = [message for message in messages if isinstance(message, Event)]
    assert {event.event_id for event in events} == {f"e-{n}" for n in range(500)}
    one = [event.event_id for event in events if event.customer_id == "c-3"]
    assert one == [f"e-{n}" for n in range(3, 500, 7)]
    [changed] = [message for message in messages if isinstance(message, ProfileChanged)]
    assert changed.profile.name == "さくら"


async def test_many_senders_at_once_all_find_their_events(served: Served) -> None:
    async with client(served) as http:
        posts = (http.post("/v1/events", json={"customer_id": f"c-{n}"}) for n in range(300))
        answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {202}
    assert len(await served.messages()) == 300


async def test_a_rejected_event_is_in_the_dead_letters(served: Served) -> None:
    async with client(served) as http:
        answer = await http.post("/v1/events", json=[{"customer_id": "c-1"}, {"customer": "c-2"}])
    assert answer.json()["accepted"] == 1
    [letter] = await served.letters()
    assert json.loads(letter.payload) == {"customer": "c-2"}


@pytest.mark.parametrize("size", [BODY_BYTES_MAX + 1, 2_000_000])
async def test_a_body_over_the_bound_is_refused_and_the_sender_sees_it(served: Served, size: int) -> None:
    async with client(served) as http:
        answer = await http.post("/v1/events", content=b" " * size)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
        assert (await http.post("/v1/events", json={"customer_id": "c"})).status_code == 202


async def test_a_sender_that_closes_afterwards_gets_to_write_too_much_and_read_the_refusal(
    served: Served,
) -> None:
    async with raw(served) as (reader, writer):
        writer.write(head(served, "Content-Length: 8000000", "Connection: close") + b" " * 8_000_000)
        await writer.drain()
        assert await status(reader) == 413


async def test_who_asks_before_sending_too_much_is_told_at_once(served: Served) -> None:
    async with raw(served) as (reader, writer):
        writer.write(head(served, "Content-Length: 5000000000", "Expect: 100-continue"))
        assert await status(reader) == 413


async def test_an_endless_chunked_body_is_refused_at_the_bound(served: Served) -> None:
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    async with raw(served) as (reader, writer):
        writer.write(head(served, "Transfer-Encoding: chunked"))
        for _ in range(BODY_BYTES_MAX // 65536 + 1):
            writer.write(chunk)
        assert await status(reader) == 413


async def test_a_bomb_is_refused_and_others_are_served(served: Served) -> None:
    bomb = gzip.compress(bytes(512 << 20))  # 512 MiB in half a MiB
    assert len(bomb) < BODY_BYTES_MAX
    async with client(served) as http:
        bombs = [http.post("/v1/events", content=bomb) for _ in range(3)]
        good = http.post("/v1/events", json={"customer_id": "c"})
        answers = await asyncio.gather(*bombs, good)
    assert [answer.status_code for answer in answers] == [413, 413, 413, 202]


async def test_slow_connections_do_not_keep_others_waiting(served: Served) -> None:
    writers = []
    for _ in range(SLOW_CONNECTIONS):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(head(served, "Content-Length: 100") + b'{"customer')
        writers.append(writer)
    async with client(served) as http:
        answer = await http.post("/v1/events", json={"customer_id": "c"})
    for writer in writers:
        writer.close()
    assert answer.status_code == 202


async def test_a_sender_that_leaves_in_the_middle_leaves_nothing_behind(served: Served) -> None:
    async with raw(served) as (_, writer):
        writer.write(head(served, "Content-Length: 1000") + b'{"customer_id": "c-1"}')
        await writer.drain()
    async with client(served) as http:
        assert (await http.get("/healthz")).status_code == 200
    assert await served.messages() == []


async def test_depth_of_100_000_is_refused(served: Served) -> None:
    deep = b'{"customer_id": "c", "properties": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}"
    async with client(served) as http:
        answer = await http.post("/v1/events", content=deep)
    assert (answer.status_code, answer.json()["code"]) == (400, "not_parseable")
