"""The inbox as a browser without scripts sees it."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from sqlalchemy import insert

from services.notifier.channels.http import Answer
from services.notifier.parts import Day
from services.notifier.web.access import Access, LocalAccess, Viewer
from services.notifier.web.site import Site
from shared import schema
from shared.http import install_errors
from tests.integration.notifier.door import Known
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import config, resumption, stop

HERE = {"origin": "http://localhost:8000", "accept-language": "en"}
TASK = f"/tasks/{stop().id}"


@asynccontextmanager
async def browser(
    path: Path, access: Access | None = None, **product: object
) -> AsyncIterator[tuple[World, httpx.AsyncClient]]:
    async with world(path, config(**product)) as here:
        app = FastAPI()
        install_errors(app)
        parts = msgspec.structs.replace(here.parts, days_of=used_but_on_mondays)
        site = Site(parts, here.notifier.desk, access or LocalAccess(), here.notifier.sender.wake)
        app.include_router(site.router)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost:8000", headers=HERE, follow_redirects=True
        ) as client:
            yield here, client


async def used_but_on_mondays(product: str, customer_id: str, first: date, last: date) -> list[Day]:
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [Day(day=d, active=d.weekday() != 0, expected=d.weekday() != 0) for d in days]


def names(html: str) -> list[str]:
    return re.findall(r'<span class="name">([^<]*)</span>', html)


async def test_an_empty_inbox_says_so(tmp_path: Path) -> None:
    async with browser(tmp_path) as (_, client):
        page = await client.get("/")
        assert page.status_code == 200
        assert "Nobody to call" in page.text


async def test_calls_stand_in_the_order_of_their_windows_and_then_of_surprise(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        for name, window, surprise in (
            ("any-likely", None, 0.97),
            ("any-sure", None, 0.99),
            ("until-17", "14:00-17:00", 0.97),
            ("until-15", "14:00-15:00", 0.97),
            ("from-16", "16:00-17:00", 0.99),
            ("tomorrow", "10:00-11:00", 0.99),
        ):
            await here.read(stop(f"c-{name}", name=name, contact_window=window, surprise=surprise))
        page = (await client.get("/")).text
        assert names(page) == ["until-15", "until-17", "any-sure", "any-likely", "from-16", "tomorrow"]
        titles = re.findall(r"<h2>([^<]+) <span>(\d+)</span>", page)
        assert titles == [("Call now", "4"), ("Later today", "1"), ("On another day", "1")]
        assert ">until-15</a></h1>" in page  # the first call is read beside the list


async def test_a_call_shows_its_evidence_in_the_customers_time(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop(phone="+81 3-1234-5678", contact_window="14:00-17:00", csm="csm-1"))
        page = (await client.get(TASK)).text
        assert 'href="tel:+81312345678"' in page
        for part in ("No use by 14:00 on Mon 2 Mar.", "Sun 1 Mar", "41 active days since Tue 20 Jan", "97 %"):
            assert part in page
        assert page.count('class="day day-active"') == 78  # 13 weeks of six days
        assert page.count('class="day day-stop"') == 1


async def test_in_japanese_it_is_japanese(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop(csm="csm-1"))
        page = (await client.get(TASK, headers={"accept-language": "ja"})).text
        assert '<html lang="ja">' in page
        for part in (
            "割烹 さくら 様",
            "3月2日(月)、14:00までに利用がありませんでした。",
            "佐藤さん",
            "話せた",
        ):
            assert part in page


async def test_the_language_is_chosen_once_and_kept(tmp_path: Path) -> None:
    async with browser(tmp_path) as (_, client):
        page = await client.post("/settings", data={"language": "ja"})
        assert '<html lang="ja">' in page.text
        assert '<html lang="ja">' in (await client.get("/")).text


async def test_a_page_that_is_none_leads_back_to_the_inbox(tmp_path: Path) -> None:
    async with browser(tmp_path) as (_, client):
        page = await client.post("/settings", data={"language": "ja"}, headers={"referer": "http://[none"})
        assert (page.status_code, page.url.path) == (200, "/")


async def test_an_outcome_is_recorded_and_can_be_undone(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop())
        page = await client.post(f"{TASK}/done", data={"outcome": "churn_risk", "note": " price \n"})
        assert page.url.path == TASK
        assert "May leave" in page.text
        task = await here.task()
        assert (task.state, task.note, task.closed_by) == ("done", "price", "local")
        await client.post(f"{TASK}/reopen")
        assert (await here.task()).state == "acknowledged"


@pytest.mark.parametrize(
    ("choice", "shown"), [("1h", "until 15:15"), ("3h", "until 17:15"), ("tomorrow", "until Tue 3 Mar 14:00")]
)
async def test_a_call_is_put_off(tmp_path: Path, choice: str, shown: str) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop(contact_window="14:00-17:00"))
        page = await client.post(f"{TASK}/snooze", data={"until": choice})
        assert shown in page.text
        assert "Snoozed" in page.text


async def test_a_call_is_taken_and_handed_over(tmp_path: Path) -> None:
    async with browser(tmp_path, Known(Viewer(name="sato", csm="csm-1"))) as (here, client):
        await here.read(stop(csm="csm-1"))
        page = await client.post(f"{TASK}/acknowledge")
        assert "対応中: 佐藤さん" in page.text  # csm-1 reads Japanese
        await client.post(f"{TASK}/assign", data={"owner": "csm-2"})
        assert (await here.task()).owner == "csm-2"


async def test_handing_over_to_nobody_that_exists_is_refused(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop(csm="csm-1"))
        page = await client.post(f"{TASK}/assign", data={"owner": "csm-9"})
        assert page.status_code == 422
        assert (await here.task()).owner == "csm-1"


async def test_what_cannot_be_done_is_said_on_the_page(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop())
        await here.read(resumption(stop()))
        page = await client.post(f"{TASK}/done", data={"outcome": "reached"})
        assert page.status_code == 409
        assert "This call is closed; nothing can be done any more." in page.text
        assert "No call is needed." in page.text


@pytest.mark.parametrize("data", [{}, {"outcome": "happy"}])
async def test_an_outcome_that_is_none_is_refused(tmp_path: Path, data: dict[str, str]) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop())
        assert (await client.post(f"{TASK}/done", data=data)).status_code == 422
        assert (await here.task()).state == "open"


async def test_each_csm_has_a_list_and_nobodys_calls_have_one_too(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop("c-1", name="one", csm="csm-1"), stop("c-2", name="two"))
        assert names((await client.get("/?who=csm-1")).text) == ["one"]
        assert names((await client.get("/?who=none")).text) == ["two"]
        assert sorted(names((await client.get("/?who=all")).text)) == ["one", "two"]


async def test_names_are_escaped_and_nothing_foreign_is_loaded(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop(name="<script>alert(1)</script>"))
        page = await client.get(TASK)
        assert "<script>alert" not in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page.text)
        assert not re.search(r"\sstyle=|\son\w+=", page.text)


async def test_assets_are_kept_for_ever_by_a_name_that_changes_with_them(tmp_path: Path) -> None:
    async with browser(tmp_path) as (_, client):
        for url in re.findall(r'(?:href|src)="(/assets/[^"]+)"', (await client.get("/")).text):
            asset = await client.get(url)
            assert asset.status_code == 200
            assert "immutable" in asset.headers["cache-control"]
        assert (await client.get("/assets/x/secret.txt")).status_code == 404


async def test_an_asset_asked_for_by_another_versions_name_is_not_kept_under_it(tmp_path: Path) -> None:
    async with browser(tmp_path) as (_, client):
        asset = await client.get("/assets/0123456789ab/inbox.css")
        assert (asset.status_code, asset.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:9"},
        {"origin": "http://[localhost:8000"},
    ],
)
async def test_a_form_from_another_site_changes_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop())
        answer = await client.post(f"{TASK}/done", data={"outcome": "reached"}, headers=headers)
        assert answer.status_code == 403
        assert (await here.task()).state == "open"


async def test_a_name_of_elsewhere_pointed_at_this_machine_sees_nothing(tmp_path: Path) -> None:
    async with browser(tmp_path) as (_, client):
        assert (await client.get("/", headers={"host": "evil.example"})).status_code == 403
        assert (await client.get("/", headers={"host": "[::1"})).status_code == 403
        assert (await client.get("/", headers={"host": "127.0.0.1:8000"})).status_code == 200
        assert (await client.get("/", headers={"host": "[::1]:8000"})).status_code == 200


async def test_a_task_that_is_none_is_not_found(tmp_path: Path) -> None:
    async with browser(tmp_path) as (_, client):
        assert (await client.get("/tasks/nothing")).status_code == 404
        assert (await client.post("/tasks/nothing/acknowledge")).status_code == 404


async def test_a_stop_whose_settings_are_wrong_says_what_to_set_right(tmp_path: Path) -> None:
    async with browser(tmp_path) as (here, client):
        await here.read(stop(csm="csm-9"))
        assert "CSM csm-9 is not in the configuration" in (await client.get(TASK)).text


# The outage guard on the page


async def test_a_lead_releases_held_calls_from_the_notice(tmp_path: Path) -> None:
    async with browser(tmp_path, guard={"min_customers": 2, "share": 0.1}) as (here, client):
        async with here.database.begin() as connection:
            for n in range(2):
                row = {"product": "reserve", "customer_id": f"u-{n}", "partition": 0, "state": b""}
                await connection.execute(insert(schema.customers).values(row))
        await here.read(stop("c-1", name="one"), stop("c-2", name="two"))
        page = (await client.get("/")).text
        assert "Held: the product may be down" in page
        assert "2 customers stopped at the same cutoff" in page
        (outage,) = re.findall(r'name="outage" value="([^"]+)"', page)
        answer = await client.post("/outages/release", data={"outage": outage})
        assert answer.status_code == 200
        await here.after(seconds=1)
        assert {task.held for task in await here.tasks()} == {None}
        again = await client.post("/outages/release", data={"outage": outage})
        assert again.status_code == 200  # a second click is the same click
        assert (await client.post("/outages/release", data={"outage": "x"})).status_code == 404
        evil = {"origin": "https://evil.example"}
        assert (
            await client.post("/outages/release", data={"outage": outage}, headers=evil)
        ).status_code == 403


async def test_a_channel_that_takes_nothing_any_more_stands_in_the_inbox_with_its_reason(
    tmp_path: Path,
) -> None:
    async with browser(tmp_path) as (here, client):
        here.receivers.will_answer("slack", Answer(status=404, body=b"channel_not_found"))
        await here.read(stop())
        await here.send()
        (notice,) = [t for t in await here.tasks() if t.trigger.type == "channel.disabled"]
        page = (await client.get(f"/tasks/{notice.id}")).text
        assert "cs-slack: 404 channel_not_found" in page
        assert "A channel takes no more messages: look at its settings" in page
        assert "id=cs-slack" not in page  # it is nobody's customer
        assert stop().data.customer.name in names(page)  # and the call itself is still to be made
