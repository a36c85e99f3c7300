"""What is no plain use goes the long way; that plain ones end where it does is in tests/property."""

from datetime import UTC, datetime

import msgspec
import pytest

from services.evaluator.core import days, plain
from services.evaluator.core.rules import Product
from services.evaluator.core.state import CustomerState
from shared.clock import to_us
from shared.events import Event
from tests.unit.evaluator.told import LITERAL, Diary, day, days_of, product

PRODUCT = product(zone="UTC", rules={"onboarding": {"kind": "streak", "days": 5}, "usage-stopped": LITERAL})
BY_CALENDAR = product(zone="UTC", rules={"weeks": {"kind": "streak", "days": 4, "counting": "calendar_days"}})


def diary(last: str, rules_of: Product = PRODUCT) -> Diary:
    """A use on every day from Monday 2 March on."""
    kept = Diary(rules_of, zone="UTC")
    kept.uses(days_of("2026-03-02", last))
    return kept


def after_use(
    state: CustomerState | None, local: str, watermark: str = "", rules_of: Product = PRODUCT
) -> object:
    assert state is not None
    us, watermark_us = (
        to_us(datetime.fromisoformat(at).replace(tzinfo=UTC)) for at in (local, watermark or local)
    )
    event = Event(product="reserve", customer_id="c", event_id="1", occurred_us=us, received_us=us)
    return plain.after_use(state, us, event, rules_of, watermark_us)


def test_a_plain_use_adds_its_day_and_moves_the_due_instant() -> None:
    kept = diary("2026-03-04")
    after = after_use(kept.state, "2026-03-05T10:00")
    assert isinstance(after, CustomerState)
    kept.use("2026-03-05T10:00")
    assert after == kept.state
    assert [after.base + bit for bit in days.each(after.active["*"])][-1] == day("2026-03-05")


@pytest.mark.parametrize("local", ["2026-03-04T23:59", "2026-03-03T10:00", "2026-03-01T10:00"])
def test_a_use_on_a_day_that_is_not_a_new_last_one_is_not_plain(local: str) -> None:
    assert after_use(diary("2026-03-04").state, local, "2026-03-04T10:00") is None


def test_a_use_after_a_deadline_that_was_not_judged_is_not_plain() -> None:
    assert after_use(diary("2026-03-04").state, "2026-03-05T10:00", "2026-03-06T10:00") is None


def test_a_use_that_ends_a_silence_is_not_plain() -> None:
    kept = diary("2026-03-04")
    kept.tick("2026-03-06T10:00")
    assert kept.news()
    assert after_use(kept.state, "2026-03-06T11:00") is None


def test_a_use_that_may_complete_a_streak_is_not_plain() -> None:
    assert after_use(diary("2026-03-05").state, "2026-03-06T10:00") is None
    closed = diary("2026-03-03", BY_CALENDAR)
    assert after_use(closed.state, "2026-03-05T10:00", rules_of=BY_CALENDAR) is None


def test_a_use_under_rules_that_the_customer_has_not_met_is_not_plain() -> None:
    other = product(zone="UTC", rules={"usage-stopped": LITERAL})
    assert after_use(diary("2026-03-04").state, "2026-03-05T10:00", rules_of=other) is None


def test_a_use_around_a_change_of_settings_is_not_plain() -> None:
    kept = diary("2026-03-04")
    assert kept.state is not None
    cut_short = msgspec.structs.replace(kept.state, cut_short=(day("2026-03-06"),))
    assert after_use(cut_short, "2026-03-05T10:00") is None
    kept.profile("2026-03-04T12:00", time_zone="Asia/Tokyo")
    assert after_use(kept.state, "2026-03-05T10:00") is None
