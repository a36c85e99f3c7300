"""`usage-triggers backtest` on files as people have them."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.e2e.running import assert_one_line, run

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not (DATA / "restaurant_days.csv.gz").exists(), reason="../shared/data is not there"
)

CONFIG = """
products:
  shop:
    time_zone: Asia/Tokyo
    rules:
      onboarding: {kind: streak, days: 28, emit: onboarding.completed}
      usage-stopped: {kind: absence, min_streak: 3, expect: calendar, emit: usage.stopped}
    playbooks:
      - on: usage.stopped
        task: {kind: call, contact_window: "14:00-17:00"}
csms:
  mori: {name: Mori, time_zone: Asia/Tokyo}
"""


def _days(first: date, count: int) -> list[str]:
    return [(first + timedelta(days=n)).isoformat() for n in range(count)]


def _write(directory: Path, days: list[str]) -> None:
    rows = "".join(f"c-1,{day}\n" for day in days)
    (directory / "events.csv").write_text(f"customer_id,date\n{rows}", encoding="utf-8")
    (directory / "customers.csv").write_text("customer_id,name,csm\nc-1,鮨 はやし,mori\n", encoding="utf-8")
    (directory / "config.yaml").write_text(CONFIG, encoding="utf-8")


def test_thirty_days_a_gap_and_a_return_give_a_habit_a_stop_and_a_resumption(tmp_path: Path) -> None:
    # 30 days from 1 March, silence on 31 March and 1 April, back on 2 April.
    _write(tmp_path, [*_days(date(2026, 3, 1), 30), "2026-04-02"])
    result = run(
        *("backtest", "events.csv", "--customers", "customers.csv", "--config", "config.yaml"),
        *("--out", "triggers.jsonl", "--calls", "calls.jsonl"),
        directory=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    triggers = [json.loads(line) for line in (tmp_path / "triggers.jsonl").read_text().splitlines()]
    assert [(t["type"], t["data"]["day"]) for t in triggers] == [
        ("onboarding.completed", "2026-03-28"),
        ("usage.stopped", "2026-03-31"),
        ("usage.resumed", "2026-04-02"),
    ]
    (call,) = [json.loads(line) for line in (tmp_path / "calls.jsonl").read_text().splitlines()]
    # The miss is certain when 31 March is over in Tokyo; the call belongs into the next window, 14:00-17:00.
    assert call == {
        "customer_id": "c-1",
        "rule": "usage-stopped",
        "day": "2026-03-31",
        "trigger_id": triggers[1]["id"],
        "due_at": "2026-04-01T08:00:00Z",
        "surprise": triggers[1]["data"].get("surprise"),
    }
    assert "Calls: 1" in result.stdout
    assert "mori" in result.stdout
    assert "鮨 はやし (c-1)" in result.stdout


def test_a_broken_row_on_line_73_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    _write(tmp_path, _days(date(2026, 1, 1), 100))
    lines = (tmp_path / "events.csv").read_text().splitlines()
    lines[72] = 'c-1,"2026-03-'
    (tmp_path / "events.csv").write_text("\n".join(lines), encoding="utf-8")
    result = run("backtest", "events.csv", directory=tmp_path)
    assert result.returncode == 0
    assert "line 73: not_parseable: a quotation mark is out of place" in result.stderr
    assert "99 uses of 1 customers" in result.stdout
    assert "left out: 1 (1 not_parseable)" in result.stdout
    assert "Traceback" not in result.stderr


def test_from_and_to_are_included_and_the_past_is_learned_from(tmp_path: Path) -> None:
    # The days before 1 April make the streak that stops on that day; the stop on 5 March is not told.
    march = [day for day in _days(date(2026, 3, 1), 31) if day != "2026-03-05"]
    _write(tmp_path, [*march, "2026-04-03"])
    result = run(
        *("backtest", "events.csv", "--config", "config.yaml", "--out", "-"),
        *("--from", "2026-04-01", "--to", "2026-04-01"),
        directory=tmp_path,
    )
    (stop,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert (stop["type"], stop["data"]["day"]) == ("usage.stopped", "2026-04-01")
    assert stop["data"]["streak"]["length"] == 26  # 6 to 31 March


def test_ndjson_comes_through_standard_input(tmp_path: Path) -> None:
    rows = [
        {"customer_id": "c", "occurred_at": f"{day}T10:00:00+09:00"} for day in _days(date(2026, 3, 1), 5)
    ]
    result = run("backtest", "-", directory=tmp_path, stdin="\n".join(json.dumps(row) for row in rows))
    assert result.returncode == 0, result.stderr
    assert "5 uses of 1 customers, 2026-03-01 to 2026-03-05" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nowhere.csv"], 1, "cannot read nowhere.csv: No such file or directory"),
        (["wrong.csv"], 1, "wrong.csv: the heading has no column customer_id; is 'custmer_id' meant?"),
        (["empty.csv"], 1, "nothing to replay"),
        (["events.csv", "--product", "other"], 1, "no product 'other'; it has default"),
        (["events.csv", "--out", "no/such/place"], 1, "cannot write no/such/place"),
        (["events.csv", "--form", "2026-01-01"], 2, "--form"),
        ([], 2, "EVENTS"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: list[str], status: int, said: str) -> None:
    _write(tmp_path, _days(date(2026, 3, 1), 5))
    (tmp_path / "wrong.csv").write_text("custmer_id,date\nc,2026-01-01\n", encoding="utf-8")
    (tmp_path / "empty.csv").write_text("customer_id,date\n", encoding="utf-8")
    result = run("backtest", *arguments, directory=tmp_path)
    assert result.returncode == status
    assert said in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_several_products_have_to_be_told_apart(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("products: {a: {}, b: {}}\n", encoding="utf-8")
    _write(tmp_path, [])
    result = run("backtest", "events.csv", "--config", "c.yaml", directory=tmp_path)
    assert_one_line(result, status=1, said="say which product with --product; the configuration has a, b")


@needs_data
def test_the_restaurants_give_the_same_triggers_twice(tmp_path: Path) -> None:
    files = [str(DATA / "restaurant_days.csv.gz"), "--customers", str(DATA / "restaurants.csv")]
    for name in ("one", "two"):
        result = run("backtest", *files, "--out", f"{name}.jsonl", directory=tmp_path)
        assert result.returncode == 0, result.stderr
    assert "121,156 uses of 401 customers, 2016-01-01 to 2017-04-22 (478 days)" in result.stdout
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes()
    kinds = [json.loads(line)["type"] for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    assert kinds.count("onboarding.completed") > 300
    assert kinds.count("usage.stopped") > kinds.count("onboarding.completed")


def test_a_sweep_an_outcome_and_a_page(tmp_path: Path) -> None:
    # Use every day from 1 January to 30 April, silence on 10 March, and nothing after; gone on 10 May.
    days = [day for day in _days(date(2026, 1, 1), 120) if day != "2026-03-10"]
    _write(tmp_path, days)
    rows = "customer_id,name,csm,churned_on\nc-1,<b>Hayashi</b>,mori,2026-05-10\nc-2,,mori,\n"
    (tmp_path / "customers.csv").write_text(rows, encoding="utf-8")
    arguments = ("backtest", "events.csv", "--customers", "customers.csv", "--config", "config.yaml")
    result = run(
        *(*arguments, "--to", "2026-05-31"),
        *("--sweep", "--outcome", "churned_on", "--html", "page.html"),
        directory=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert "as it is: cutoff end of day, min_streak 3, expect calendar" in result.stdout
    assert "min_surprise by customer" in result.stdout
    # The stop of 10 March ended the next day; that of 1 May stood nine days before the customer left.
    assert "a stop still standing on the day: 1 customers, 100% of them left; 100% of all" in result.stdout
    assert ", 9 days before" in result.stdout
    assert len(result.stdout.splitlines()) < 50
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 3
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "<b>" not in page


@pytest.mark.parametrize(
    ("column", "said"),
    [("nothing", "no customer has anything in a column 'nothing'"), ("title", "'title' is sushi for all 1")],
)
def test_what_is_no_outcome_is_wrong_use(tmp_path: Path, column: str, said: str) -> None:
    _write(tmp_path, _days(date(2026, 3, 1), 5))
    (tmp_path / "customers.csv").write_text("customer_id,title\nc-1,sushi\n", encoding="utf-8")
    files = ("events.csv", "--customers", "customers.csv")
    result = run("backtest", *files, "--outcome", column, directory=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr.splitlines()[-1]
