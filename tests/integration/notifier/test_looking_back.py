"""The pages that look back: a customer, the team's figures, and the operation with its replays."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path

import httpx
import msgspec
from fastapi import FastAPI
from sqlalchemy import insert, update

from services.letters import LogLetters
from services.notifier.channels.http import Answer
from services.notifier.parts import Day, OpenCount, Standing, Streak
from services.notifier.web.access import Access, LocalAccess, Viewer
from services.notifier.web.site import Site
from shared import schema
from shared.events import TOPIC_DEAD_LETTERS, TOPIC_EVENTS, DeadLetter, Event, decode, encode
from shared.http import install_errors
from shared.log import Message
from tests.integration.notifier.door import PASSWORD, Known, house
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import NOON, config, resumption, stop

HERE = {"origin": "http://localhost:8000", "accept-language": "en"}


async def standing_of(product: str, customer_id: str) -> Standing:
    streaks = [
        Streak(
            rule="onboarding",
            length=12,
            calendar_days=14,
            started_on=date(2026, 2, 16),
            last_active_on=date(2026, 3, 1),
        ),
        Streak(rule="again", length=0, calendar_days=0, started_on=None, last_active_on=None),
    ]
    tables = OpenCount(rule="three-tables", count=2, at_least=3, last_day=date(2026, 3, 7))
    return Standing(streaks=streaks, counts=[tables])


async def no_days(product: str, customer_id: str, first_on: date, last_on: date) -> Sequence[Day]:
    return []


@asynccontextmanager
async def browser(path: Path, access: Access | None = None) -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    """As an admin on this machine, where nothing else is said."""
    async with world(path, config(playbooks=[{"on": "usage.stopped", "send": ["phone"]}])) as here:
        letters = LogLetters(here.log, here.parts.config, here.clock, lambda: "made-id")
        parts = msgspec.structs.replace(here.parts, days_of=no_days, standing_of=standing_of, letters=letters)
        app = FastAPI()
        install_errors(app)
        app.include_router(
            Site(parts, here.notifier.desk, access or LocalAccess(), here.notifier.sender.wake).router
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost:8000", headers=HERE, follow_redirects=True
        ) as client:
            yield here, client


# A customer


async def test_a_customers_page_tells_everything_that_is_known_of_it(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        first = stop("c/1 ?", name="割烹 さくら", csm="csm-2", segment="high-touch", phone="(03) 1234-5678")
        await here.read(first)
        await client.post(f"/tasks/{first.id}/done", data={"outcome": "reached", "note": "back on Friday"})
        await here.read(resumption(first))
        (path,) = re.findall(r'<h1><a href="([^"]+)"', (await client.get(f"/tasks/{first.id}")).text)
        page = (await client.get(path.replace("&amp;", "&"))).text
        for part in (
            "割烹 さくら",
            "high-touch",
            "Ito",
            "12 active days since Mon 16 Feb",
            "2 of 3, until Sat 7 Mar",
            "no streak at present",
            "Usage resumed",
            "Usage stopped",
            "back on Friday",
            "Reached",
            'href="tel:0312345678"',
        ):
            assert part in page
        assert f'href="/tasks/{first.id}"' in page


async def test_a_customer_of_another_product_or_of_none_is_not_found(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop("c-1", name="Secret Sushi"))
        for product, customer_id in (("other", "c-1"), ("reserve", "c-9"), ("", ""), ("reserve", "")):
            answer = await client.get("/customer", params={"product": product, "id": customer_id})
            assert answer.status_code == 404
            assert "Secret Sushi" not in answer.text


# The team


async def test_the_team_sees_who_called_how_soon_and_how_often_a_rule_was_wrong(tmp_path: Path) -> None:
    async with browser(tmp_path, Known(Viewer(name="ito", role="lead", csm="csm-2"))) as (here, client):
        await here.read(*(stop(f"c-{n}", csm="csm-2") for n in range(4)))
        await here.after(minutes=30)
        for n, outcome in enumerate(("reached", "false_alarm", "churn_risk")):
            await client.post(f"/tasks/{stop(f'c-{n}').id}/done", data={"outcome": outcome})
        await client.post(f"/tasks/{stop('c-2').id}/reopen")  # a slip of the hand is no call
        page = (await client.get("/team?days=7")).text
        assert "<b>2</b>calls made" in page
        assert "<b>30 minutes</b>" in page
        assert re.search(r'<th scope="row">Ito</th>.*<td class="sum">2</td>', page, re.S)
        assert re.search(r"usage-stopped</td><td>1 / 2</td><td class=\"sum\">50 %", page)
        assert 'aria-current="page">7 days' in page


async def test_a_team_that_called_nobody_sees_that(tmp_path: Path) -> None:
    async with browser(tmp_path) as (_, client):
        for days in ("", "7", "999", "x"):
            page = await client.get("/team", params={"days": days})
            assert page.status_code == 200
            assert "No call was closed in these days." in page.text


# The operation


async def test_the_operation_page_tells_how_far_readers_are_and_marks_who_is_late(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.log.append(TOPIC_EVENTS, [Message(value=b"x", partition=0) for _ in range(5)])
        row = {"reader": "evaluator", "topic": TOPIC_EVENTS, "partition": 0, "next_offset": 2}
        async with here.database.begin() as connection:
            await connection.execute(
                insert(schema.positions).values(
                    **row, watermark_us=NOON - 90_000_000, updated_us=NOON - 2_000_000
                )
            )
        page = (await client.get("/operator")).text
        place = "<td>usage.events</td><td>0</td><td>2</td>"
        assert f'{place}<td>3</td><td class="late">2 minutes</td><td>2 seconds ago</td>' in page
        here.log.fail_next()
        page = (await client.get("/operator")).text
        assert f'{place}<td></td><td class="late">' in page, "the rest is told while the log does not answer"


async def test_a_delivery_that_waits_for_its_next_attempt_is_sent_now(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        here.receivers.will_answer("phone", Answer(status=503, body=b"full up"))
        await here.read(stop())
        await here.send()
        page = (await client.get("/operator")).text
        assert "full up" in page.partition("Deliveries tried again")[2]
        (delivery_id,) = re.findall(r'name="delivery" value="([^"]+)"', page)
        assert (await client.post("/operator/replay", data={"delivery": delivery_id})).status_code == 200
        await here.send()
        assert [d.state for d in await here.deliveries()] == ["delivered"]
        assert len({r.headers["webhook-id"] for r in here.receivers.to("phone")}) == 1


async def test_what_was_given_up_is_sent_again_one_by_one_or_all_at_once(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(*(stop(f"c-{n}") for n in range(3)))
        given_up = {"state": "dead", "next_attempt_us": None, "last_error": "no such task list"}
        async with here.database.begin() as connection:
            await connection.execute(update(schema.deliveries).values(**given_up))
        page = (await client.get("/operator")).text
        assert page.partition("Deliveries tried again")[0].count("no such task list") == 3
        some_id = (await here.deliveries())[0].id
        await client.post("/operator/replay", data={"delivery": some_id})
        await here.send()
        assert sorted(d.state for d in await here.deliveries()) == ["dead", "dead", "delivered"]
        await client.post("/operator/replay")
        await here.send()
        assert [d.state for d in await here.deliveries()] == ["delivered"] * 3


async def test_a_delivery_that_is_held_or_gone_is_not_sent(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop())
        async with here.database.begin() as connection:
            await connection.execute(update(schema.deliveries).values(state="held", next_attempt_us=None))
        (delivery,) = await here.deliveries()
        for delivery_id in (delivery.id, "gone"):
            page = await client.post("/operator/replay", data={"delivery": delivery_id})
            assert page.status_code == 409
            assert "The outage guard holds it; let it go there." in page.text


def letter(payload: bytes, *, id: str = "l-1", origin: str = "http:/v1/events") -> Message:
    dead = DeadLetter(
        id=id,
        product="reserve",
        reason="too_old",
        message="older than the late window",
        origin=origin,
        rejected_us=NOON,
        payload=payload.decode(),
    )
    return Message(value=encode(dead), key=b"reserve/")


OLD = b'{"customer_id": "c-1", "event_id": "e-1", "occurred_at": "2025-11-02T18:30:00+09:00"}'


async def test_a_dead_letter_is_shown_once_and_its_event_goes_in_again_as_backfill(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.log.append(TOPIC_DEAD_LETTERS, [letter(OLD), letter(OLD)])
        page = (await client.get("/operator/letters")).text
        assert page.count("older than the late window") == 1
        answer = await client.post("/operator/letters/replay", data={"letter": "l-1"})
        assert answer.status_code == 200
        consumer = await here.log.consumer(TOPIC_EVENTS, "test")
        for partition in consumer.assignment():
            consumer.seek(partition, 0)
        found = await consumer.fetch(records_max=10, timeout_seconds=0)
        (event,) = [decode(record.value) for records in found.values() for record in records]
        assert isinstance(event, Event)
        assert (event.customer_id, event.event_id, event.backfill) == ("c-1", "e-1", True)


async def test_a_letter_that_cannot_go_in_again_says_why(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.log.append(
            TOPIC_DEAD_LETTERS,
            [
                letter(b"{broken", id="broken"),
                letter(b'{"customer_id": ""}', id="still-wrong"),
                letter(b'{"type": "track"}', id="elsewhere", origin="http:/v1/batch"),
            ],
        )
        for id, status in (("broken", 409), ("still-wrong", 422), ("elsewhere", 409), ("unknown", 404)):
            answer = await client.post("/operator/letters/replay", data={"letter": id})
            assert answer.status_code == status, id
            assert 'role="alert"' in answer.text


async def test_the_operation_page_is_for_admins(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await there.users.add("ito", role="lead", password=PASSWORD)
        await there.sign_in(client, "ito")
        for path in ("/operator", "/operator/letters"):
            assert (await client.get(path)).status_code == 403
        for path in ("/operator/replay", "/operator/letters/replay", "/operator/release"):
            answer = await client.post(path, data={"outage": "x", "letter": "x"})
            assert answer.status_code == 403
        assert "/operator" not in (await client.get("/")).text
        assert (await client.get("/team")).status_code == 200
