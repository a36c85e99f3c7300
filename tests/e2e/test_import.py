"""`usage-triggers import`: the same history over HTTP ends in the same days and streaks as `backtest`."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from services.commands.histories import read_history
from services.commands.imports import import_customer_file, import_event_file
from services.commands.tables import Rejections
from services.evaluator import reading
from services.evaluator.core.rules import compile_product
from services.evaluator.replay import replay_customer
from shared.clock import ManualClock
from shared.config import DEFAULT_PRODUCT, default_config
from tests.e2e.running import run, serving
from tests.whole_service import whole_service

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not (DATA / "restaurant_days.csv.gz").exists(), reason="../shared/data is not there"
)
FIRST_ON, LAST_ON = date(2016, 1, 1), date(2017, 4, 22)
POLL_SECONDS_MAX = 300

EVENTS = """customer_id,date,note
c-1,2026-03-01,first
c-1,2026-03-02,
,2026-03-02,nobody
c-2,2026-13-02,no such month
c-2,2026-03-02T10:00:00+09:00,
c-2,2199-01-01,too early
"""


def test_lines_are_counted_by_reason_and_a_second_import_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    (tmp_path / "customers.csv").write_text(
        "customer_id,name,time_zone\nc-1,鮨 はやし,Asia/Tokyo\nc-2,Bistro,Asia/Tokio\n", encoding="utf-8"
    )
    with serving(tmp_path) as service:
        to = ("--url", service.url, "--key", service.first_key())
        customers = run("import-customers", "customers.csv", *to, directory=tmp_path)
        first = run("import", "events.csv", *to, directory=tmp_path)
        second = run("import", "events.csv", *to, directory=tmp_path)
    assert "1 lines accepted, 1 (1 invalid) rejected" in customers.stdout
    assert "line 3: invalid: time_zone: 'Asia/Tokio' is no IANA time zone" in customers.stderr
    assert first.returncode == 0
    assert "3 lines accepted, 3 (2 invalid, 1 in_future) rejected" in first.stdout
    for told in ("line 4: invalid: customer_id is missing", "line 5: invalid:", "line 7: in_future:"):
        assert told in first.stderr
    assert second.stdout == first.stdout


def test_a_service_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    result = run("import", "events.csv", "--url", "http://127.0.0.1:9", "--key", "x", directory=tmp_path)
    assert result.returncode == 1
    assert "http://127.0.0.1:9 does not answer" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_without_a_key_it_says_how_to_give_one(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text(EVENTS, encoding="utf-8")
    result = run("import", "events.csv", directory=tmp_path)
    assert result.returncode == 1
    assert "--key" in result.stderr


@needs_data
async def test_the_restaurants_over_http_end_in_the_same_days_and_streaks_as_their_backtest(
    tmp_path: Path,
) -> None:
    silent = Rejections(lambda _line: None)
    events, customers = str(DATA / "restaurant_days.csv.gz"), str(DATA / "restaurants.csv")
    product = compile_product(DEFAULT_PRODUCT, default_config().products[DEFAULT_PRODUCT])
    history = read_history(events, customers, product, silent)
    clock = ManualClock(datetime.fromisoformat("2017-04-22T23:00:00+09:00"))
    async with whole_service(tmp_path, clock) as (url, key):
        await import_customer_file(customers, url, key)
        await import_event_file(events, url, key)
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:
            *_, last = history.uses
            await _until(
                lambda: _found(http, last),
                lambda found: len(_active(found)) == _day_count(history.uses[last]),
            )
            over_http = {customer_id: await _found(http, customer_id) for customer_id in history.uses}
    for customer_id, uses in history.uses.items():
        replayed = replay_customer(
            customer_id, history.profiles[customer_id], uses, product=product, last_on=LAST_ON.toordinal()
        )
        expected = reading.streaks(replayed.state, product, today=LAST_ON.toordinal())
        assert _active(over_http[customer_id]) == {
            date.fromordinal(use.day).isoformat() for use in uses.each()
        }
        assert over_http[customer_id]["streaks"] == msgspec.to_builtins(expected), customer_id


async def _found(http: httpx.AsyncClient, customer_id: str) -> dict[str, Any]:
    params = {"from": FIRST_ON.isoformat(), "to": LAST_ON.isoformat()}
    answer = await http.get(f"/v1/customers/{customer_id}/days", params=params)
    found: dict[str, Any] = answer.json()
    return found if answer.status_code == 200 else defaultdict(list)


async def _until(question: Callable[[], Any], is_answer: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(POLL_SECONDS_MAX):
        while not is_answer(await question()):
            continue


def _active(found: dict[str, Any]) -> set[str]:
    return {day["day"] for day in found["days"] if day["active"]}


def _day_count(uses: Any) -> int:
    return len({use.day for use in uses.each()})
