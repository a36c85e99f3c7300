"""Which calls a CSM with a limit is handed on a day."""

import random

import msgspec
import pytest

from services.notifier.planning.contact import Contact
from services.notifier.tasks import capacity
from services.notifier.tasks.capacity import SETTLE_US, CallDay
from services.notifier.tasks.lifecycle import Task, acknowledge
from shared.config import CsmSection
from tests.unit.notifier.cases import HOUR, NOON, at, plan, stop, task

DAY = CallDay(id="day:csm-1/2026-03-02")
SETTLED = NOON + SETTLE_US
TOKYO = Contact(zone="Asia/Tokyo", hours="09:00-18:00", hours_zone="Asia/Tokyo")
SATO = CsmSection(name="佐藤", time_zone="Asia/Tokyo", calls_per_day_max=10)


def call(customer_id: str, surprise: float = 0.9, notify_us: int = NOON, **facts: object) -> Task:
    return task(stop(customer_id, surprise=surprise, **facts), notify_us=notify_us)  # type: ignore[arg-type]


def names(tasks: tuple[Task, ...]) -> list[str]:
    return [one.customer_id for one in tasks]


def test_the_most_surprising_calls_are_handed_out_and_the_others_put_by() -> None:
    waiting = [call("a", 0.7), call("b", 0.99), call("c", 0.8)]
    found = capacity.allot(DAY, waiting, 2, SETTLED)
    assert (names(found.handed), names(found.beyond), found.next_us) == (["b", "c"], ["a"], None)


def test_of_calls_as_surprising_segment_and_revenue_decide() -> None:
    waiting = [
        call("small", segment="low-touch", mrr=9e6),
        call("large", segment="high-touch", mrr=1e5),
        call("larger", segment="high-touch", mrr=2e5),
        call("other", segment="partner", mrr=9e9),
        call("none"),
    ]
    found = capacity.allot(DAY, waiting, 5, SETTLED)
    assert names(found.handed) == ["larger", "large", "small", "other", "none"]


@pytest.mark.parametrize("seed", range(5))
def test_it_does_not_matter_in_which_order_they_came(seed: int) -> None:
    waiting = [call(f"c-{n}", surprise=0.9 if n % 3 else 0.95) for n in range(20)]
    random.Random(seed).shuffle(waiting)
    found = capacity.allot(DAY, waiting, 7, SETTLED)
    assert names(found.handed) == names(capacity.allot(DAY, waiting[::-1], 7, SETTLED).handed)


def test_nothing_is_decided_before_the_sweep_has_settled() -> None:
    found = capacity.allot(DAY, [call("a")], 1, SETTLED - 1)
    assert (found.handed, found.beyond, found.next_us) == ((), (), SETTLED)


def test_a_surprising_call_keeps_its_place_until_its_window_opens() -> None:
    waiting = [call("now", 0.7), call("later", 0.99, notify_us=NOON + HOUR)]
    found = capacity.allot(DAY, waiting, 1, SETTLED)
    assert (names(found.handed), names(found.beyond)) == ([], ["now"])
    assert found.next_us == SETTLED + HOUR


def test_what_was_handed_out_before_counts() -> None:
    day = msgspec.structs.replace(DAY, handed_count=2)
    found = capacity.allot(day, [call("a", 0.9), call("b", 0.8)], 3, SETTLED)
    assert (names(found.handed), names(found.beyond)) == (["a"], ["b"])


def test_a_call_that_somebody_has_taken_needs_no_place_and_uses_one() -> None:
    taken = acknowledge(call("mine", 0.1), "csm-1", NOON).task
    found = capacity.allot(DAY, [taken, call("a", 0.8), call("b", 0.9)], 2, SETTLED)
    assert (names(found.handed), names(found.beyond)) == (["mine", "b"], ["a"])


def test_a_limit_that_was_taken_away_lets_everything_go() -> None:
    assert len(capacity.allot(DAY, [call("a"), call("b")], None, SETTLED).handed) == 2


def test_a_day_is_the_csms_own() -> None:
    evening = at("2026-03-02T23:30+00:00")  # the 3rd in Tokyo
    limited = plan(contact=TOKYO, notify_us=evening, is_limited=True)
    assert capacity.day_of(limited, "csm-1") == "day:csm-1/2026-03-03"
    assert capacity.day_of(plan(contact=TOKYO), "csm-1") is None
    assert capacity.day_of(limited, None) is None
    assert CallDay(id="day:a/b/2026-03-03").csm_id == "a/b"


def test_the_digest_comes_half_an_hour_after_the_first_call_beyond_the_limit() -> None:
    first_us = capacity.digest_us(DAY, SATO, TOKYO, NOON)
    assert first_us == NOON + HOUR // 2
    day = capacity.with_digest(DAY, first_us)
    assert capacity.digest_us(day, SATO, TOKYO, NOON + HOUR // 4) == first_us


def test_it_comes_when_the_csm_wants_it() -> None:
    at_four = SATO.model_copy(update={"digest_at": at_time("16:00")})
    assert capacity.digest_us(DAY, at_four, TOKYO, NOON) == at("2026-03-02T16:00+09:00")
    late = at("2026-03-02T16:30+09:00")
    assert capacity.digest_us(DAY, at_four, TOKYO, late) == at("2026-03-03T16:00+09:00")


def test_what_comes_after_the_digest_is_told_of_the_next_morning() -> None:
    day = capacity.with_digest(DAY, NOON)
    assert capacity.digest_us(day, SATO, TOKYO, NOON + HOUR) == at("2026-03-03T09:00+09:00")


def test_a_digest_waits_for_the_csm_and_not_for_the_customers_window() -> None:
    evening, contact = at("2026-03-02T17:45+09:00"), msgspec.structs.replace(TOKYO, window="14:00-17:00")
    assert capacity.digest_us(DAY, SATO, contact, evening) == at("2026-03-03T09:00+09:00")


def at_time(text: str) -> object:
    return CsmSection(name="x", digest_at=text).digest_at  # type: ignore[arg-type]
