"""`usage-triggers discover` on files as people have them."""

from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.e2e.running import assert_one_line, run

FIRST = date(2025, 1, 1)
FILES = ("events.csv", "--customers", "customers.csv")


def _write(directory: Path, outcomes: dict[str, str] | None = None, *, column: str = "renewed") -> None:
    """240 customers; every second one sends ten scouts in its first ten days, the others two.

    Unless told otherwise, nine in ten of the diligent ones renew and three in ten of the others.
    """
    # The stranger is there from the data's first day, so that the others are seen to begin after it.
    events = ["customer_id,date,event,event_id", f"stranger,{FIRST},page.viewed,"]
    customers = [f"customer_id,renewal_on,{column}"]
    for number in range(240):
        id, began = f"c-{number}", FIRST + timedelta(days=10 + number % 90)
        diligent = number % 2 == 0
        for day in range(100):
            events.append(f"{id},{began + timedelta(days=day)},page.viewed,")
        for day in range(10 if diligent else 2):
            events.append(f"{id},{began + timedelta(days=day)},scout.sent,s{number}-{day}")
        stayed = number // 2 % 10 < (9 if diligent else 3)
        told = ("yes" if stayed else "no") if outcomes is None else outcomes.get(id, "")
        customers.append(f"{id},{began + timedelta(days=120)},{told}")
    (directory / "events.csv").write_text("\n".join(events), encoding="utf-8")
    (directory / "customers.csv").write_text("\n".join(customers), encoding="utf-8")


def test_the_habit_is_told_drawn_and_written_as_a_rule(tmp_path: Path) -> None:
    _write(tmp_path)
    result = run("discover", *FILES, "--outcome", "renewed", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    said = result.stdout
    assert "240 customers compared (144 stayed; stayed: renewed is yes)" in said
    # Each sends once a day, so days and events are the same count, and days are the simpler one.
    first_row = next(line for line in said.splitlines() if line.startswith("1  "))
    assert "scout.sent on 7+ of the first 7 days" in first_row
    assert first_row.endswith("recommended")
    assert "the habit: 7 or more" in said
    assert "Active in each of the first" in said
    rule = said[said.index("rules:") :]
    (tmp_path / "c.yaml").write_text("products:\n  shop:\n" + _indented(rule, 4), encoding="utf-8")
    checked = run("config", "check", "c.yaml", directory=tmp_path)
    assert checked.returncode == 0, checked.stderr
    for line in ("kind: count", 'when: {event: "scout.sent"}', "at_least: 7", "within_days: 7"):
        assert line in rule


def _indented(text: str, blanks: int) -> str:
    return "".join(f"{' ' * blanks}{line}\n" for line in text.splitlines())


def test_an_event_told_twice_counts_once(tmp_path: Path) -> None:
    _write(tmp_path)
    once = run("discover", *FILES, "--outcome", "renewed", directory=tmp_path).stdout
    assert "scout.sent on 7+" in once
    path = tmp_path / "events.csv"
    heading, *rows = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([heading, *rows, *rows]), encoding="utf-8")
    assert run("discover", *FILES, "--outcome", "renewed", directory=tmp_path).stdout == once


class _Page(HTMLParser):
    """What a page is made of: its tags, and every attribute's name and value."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def test_the_page_has_charts_and_loads_and_runs_nothing(tmp_path: Path) -> None:
    _write(tmp_path)
    events = tmp_path / "events.csv"
    text = events.read_text(encoding="utf-8").replace("scout.sent", "<script>alert(1)</script>")
    events.write_text(text, encoding="utf-8")
    result = run("discover", *FILES, "--outcome", "renewed", "--html", "page.html", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    page = _Page(text)
    assert {"svg", "table", "pre"} <= page.tags
    assert not page.tags & {"script", "img", "link", "iframe", "a"}
    assert not [
        name for name, _ in page.attributes if name.startswith("on") or name in ("style", "src", "href")
    ]
    assert ("content", next(v for n, v in page.attributes if "default-src 'none'" in v)) in page.attributes
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize(
    ("outcomes", "column", "said"),
    [
        ({f"c-{n}": ("yes", "no", "maybe")[n % 3] for n in range(240)}, "renewed", "has 3 values"),
        ({f"c-{n}": "yes" for n in range(240)}, "renewed", "is yes for all 240 customers"),
        ({f"c-{n}": "AB"[n % 2] for n in range(240)}, "renewed", "say which one means staying"),
        (None, "outcome_2", "no customer has anything in a column 'renewed'"),
        ({}, "renewed", "no customer has anything in a column 'renewed'"),
    ],
)
def test_what_is_no_outcome_is_wrong_use(
    tmp_path: Path, outcomes: dict[str, str] | None, column: str, said: str
) -> None:
    _write(tmp_path, outcomes, column=column)
    result = run("discover", *FILES, "--outcome", "renewed", directory=tmp_path)
    assert_one_line(result, status=2, said=said)


def test_an_empty_file_is_wrong_use(tmp_path: Path) -> None:
    _write(tmp_path)
    (tmp_path / "events.csv").write_text("customer_id,date\n", encoding="utf-8")
    result = run("discover", *FILES, "--outcome", "renewed", directory=tmp_path)
    assert result.returncode == 2
    assert "there is no use in events.csv" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["events.csv", "--outcome", "renewed"], "--customers"),
        ([*FILES], "--outcome"),
        ([*FILES, "--outcome", "renewed", "--anchor", "birth"], "birth is neither first_active_on nor"),
        ([*FILES, "--outcome", "renewed", "--shuffles", "1"], "--shuffles"),
    ],
)
def test_wrong_use_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    _write(tmp_path)
    assert_one_line(run("discover", *arguments, directory=tmp_path), status=2, said=said)


def test_a_page_that_cannot_be_written_is_known_before_the_work(tmp_path: Path) -> None:
    _write(tmp_path)
    result = run("discover", *FILES, "--outcome", "renewed", "--html", "no/such/place", directory=tmp_path)
    assert_one_line(result, status=1, said="cannot write no/such/place: No such file or directory")


def test_a_row_that_is_not_there_has_no_rule(tmp_path: Path) -> None:
    _write(tmp_path)
    result = run("discover", *FILES, "--outcome", "renewed", "--rule", "99", directory=tmp_path)
    assert result.returncode == 2
    assert "there is no row 99 with a habit to write" in result.stderr.splitlines()[-1]


def test_customers_of_one_day_and_without_an_outcome_are_counted(tmp_path: Path) -> None:
    _write(tmp_path)
    with (tmp_path / "events.csv").open("a", encoding="utf-8") as file:
        file.write(f"\nonce,{FIRST + timedelta(days=30)},page.viewed,\nuntold,{FIRST + timedelta(days=30)},,")
    with (tmp_path / "customers.csv").open("a", encoding="utf-8") as file:
        file.write("\nonce,,no\nuntold,,\nnever,,yes\n")
    result = run("discover", *FILES, "--outcome", "renewed", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "241 customers compared" in result.stdout
    assert "left out: 1 without an outcome" in result.stdout
    assert "left out: 1 without any use" in result.stdout
    assert "left out: 1 not in the customers file" in result.stdout
    assert "careful: of 1 who left nobody says when" in result.stdout


def test_outcomes_by_lot_give_no_rule(tmp_path: Path) -> None:
    # Every third customer stays, which has nothing to do with every second one being diligent.
    _write(tmp_path, {f"c-{n}": "yes" if n % 3 else "no" for n in range(240)})
    result = run("discover", *FILES, "--outcome", "renewed", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "nothing to recommend" in result.stdout
    assert "rules:" not in result.stdout
