"""Of each use as much is kept as the rules look at, and customers stay in the order of the file."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from services.commands.histories import History, read_history
from services.commands.tables import Rejections
from services.evaluator.core.rules import compile_product
from services.evaluator.replay import DatedUse
from shared.clock import to_us
from shared.config import ProductSection

DAY = date(2026, 3, 2).toordinal()
STOPPED = {"kind": "absence"}
COUNTED = {"kind": "count", "at_least": 3, "within_days": 9}
PAID = {"kind": "absence", "when": {"event": "used", "where": {"plan": "gold"}}}
DAYS_ALONE = "customer_id,date,plan\nc-2,2026-03-02,gold\nc-1,2026-03-02,\nc-2,2026-03-03,gold\n"


def read(directory: Path, text: str, **rules: Any) -> History:
    path = directory / "events.csv"
    path.write_text(text, encoding="utf-8")
    product = compile_product("p", ProductSection.model_validate({"rules": rules}))
    return read_history(str(path), None, product, Rejections(pytest.fail))


def test_where_no_rule_asks_for_more_a_use_is_its_day(tmp_path: Path) -> None:
    history = read(tmp_path, DAYS_ALONE, stopped=STOPPED)
    assert [(id, uses.dated, uses.days) for id, uses in history.uses.items()] == [
        ("c-2", (), {"used": [DAY, DAY + 1]}),
        ("c-1", (), {"used": [DAY]}),
    ]
    assert history.use_count == 3


@pytest.mark.parametrize("rule", [COUNTED, PAID])
def test_a_rule_that_asks_for_more_gets_all_that_stands_in_the_file(
    tmp_path: Path, rule: dict[str, Any]
) -> None:
    history = read(tmp_path, DAYS_ALONE, stopped=STOPPED, other=rule)
    assert {id: (uses.dated, uses.days) for id, uses in history.uses.items()} == {
        "c-2": ([DatedUse(None, DAY + n, properties={"plan": "gold"}) for n in (0, 1)], {}),
        "c-1": ([DatedUse(None, DAY)], {}),
    }


def test_days_and_instants_of_one_customer_are_kept_side_by_side(tmp_path: Path) -> None:
    text = "customer_id,occurred_at,event\nc,2026-03-02,login\nc,2026-03-03T09:00:00Z,\n"
    (uses,) = read(tmp_path, text, stopped=STOPPED).uses.values()
    at_us = to_us(datetime(2026, 3, 3, 9, tzinfo=UTC))
    assert uses.days == {"login": [DAY]}
    assert uses.dated == [DatedUse(at_us)]
    assert list(uses.each()) == [DatedUse(at_us), DatedUse(None, DAY, "login")]
