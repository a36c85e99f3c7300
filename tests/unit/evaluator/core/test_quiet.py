"""A quiet stretch holds instants of one usage day alone, in every zone."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

import msgspec
import pytest

from services.evaluator import engine
from services.evaluator.changes import Position
from services.evaluator.core import profiles
from services.evaluator.core.calendar import day_of
from services.evaluator.core.past import NONE_EXCUSED
from services.evaluator.core.quiet import NAMES_MAX, Quiet, quiet_after
from services.evaluator.core.rules import Product
from services.evaluator.core.state import CustomerState, encode_state
from services.evaluator.folding import fold_records
from services.evaluator.partition import Partition, remember, state_of
from shared.clock import to_us
from shared.events import DayExcused, Event, Message, Profile, encode, record_key
from shared.log import Record
from tests.unit.evaluator.pipeline import RULES, products_of

PRODUCT = products_of()["p"]
KEY = record_key("p", "a")
HOUR_US = 3_600_000_000
NOON_US = to_us(datetime(2026, 3, 2, 12, tzinfo=UTC))


def state_in(zone: str, day_starts: str = "00:00", product: Product = PRODUCT) -> CustomerState:
    return profiles.fresh(Profile(time_zone=zone, day_starts_at=day_starts), product, 0)


def use(us: int, **fields: object) -> Event:
    values = {"product": "p", "customer_id": "a", "event_id": "1", "occurred_us": us, "received_us": us}
    return msgspec.convert({**values, **fields}, type=Event)


def quiet(state: CustomerState, us: int, *, before: Quiet | None = None, name: str = "used") -> Quiet | None:
    return quiet_after(before, state, use(us, event=name), PRODUCT, NONE_EXCUSED)


def covers(found: Quiet, event: Event, *, appended_us: int, watermark_us: int = 0) -> bool:
    return found.covers(event, watermark_us, appended_us)


@pytest.mark.parametrize("day_starts", ["00:00", "05:00"])
@pytest.mark.parametrize("year", [1995, 2006, 2011, 2026])
def test_all_of_a_quiet_stretch_is_one_usage_day(year: int, day_starts: str) -> None:
    # Newfoundland set its clocks back at 00:01, so that a day came twice, and Apia left one out.
    zones = [*sorted(available_timezones())[::9], "America/St_Johns", "Pacific/Apia", "America/Havana"]
    minutes = int(day_starts[:2]) * 60
    noon = datetime(year, 1, 1, 12, tzinfo=UTC)
    plain_count = 0
    for zone in zones:
        state = state_in(zone, day_starts)
        for day in range(365):
            found = quiet(state, to_us(noon + timedelta(days=day)))
            if found is not None:
                instants = (*range(found.from_us, found.until_us, HOUR_US), found.until_us - 1)
                assert len({day_of(zone, minutes, us) for us in instants}) == 1, (zone, day)
                plain_count += 1
    assert plain_count > 0.98 * 365 * len(zones)


def test_it_covers_the_names_seen_and_no_other() -> None:
    found = quiet(state_in("UTC"), NOON_US)
    assert found is not None
    assert covers(found, use(NOON_US + 1), appended_us=NOON_US)
    assert not covers(found, use(NOON_US + 1, event="login"), appended_us=NOON_US)
    both = quiet(state_in("UTC"), NOON_US + 5, before=found, name="login")
    assert both is not None
    assert all(covers(both, use(NOON_US, event=name), appended_us=NOON_US) for name in ("used", "login"))


def test_the_names_remembered_are_bounded() -> None:
    found = None
    for n in range(10 * NAMES_MAX):
        found = quiet(state_in("UTC"), NOON_US, before=found, name=f"e-{n}")
    assert found is not None
    assert len(found.names) <= NAMES_MAX


@pytest.mark.parametrize(
    ("fields", "late_us"),
    [
        ({"backfill": True}, 0),
        ({"occurred_us": None, "occurred_on": "2026-03-02"}, 0),
        ({}, -6 * 60_000_000),  # the log is six minutes behind the event: it is in the future
        ({}, PRODUCT.late_window_us + 1),
        ({"occurred_us": NOON_US + 12 * HOUR_US}, 0),  # the next day
    ],
)
def test_what_depends_on_more_than_the_day_is_not_covered(fields: dict[str, object], late_us: int) -> None:
    found = quiet(state_in("UTC"), NOON_US)
    assert found is not None
    assert covers(found, use(NOON_US), appended_us=NOON_US)
    assert not covers(found, use(NOON_US, **fields), appended_us=NOON_US + late_us)


def test_nothing_is_quiet_around_a_change_of_settings() -> None:
    state = state_in("UTC")
    changed = msgspec.structs.replace(state, segments=state.segments * 2)
    assert quiet(changed, NOON_US) is None


def test_it_is_quiet_up_to_the_watermark_at_which_something_is_due() -> None:
    waiting = msgspec.structs.replace(state_in("UTC"), due_us=NOON_US + HOUR_US)
    found = quiet(waiting, NOON_US)
    assert found is not None
    assert covers(found, use(NOON_US), appended_us=NOON_US, watermark_us=NOON_US + HOUR_US)
    assert not covers(found, use(NOON_US), appended_us=NOON_US, watermark_us=NOON_US + HOUR_US + 1)


def test_in_a_silence_that_is_told_to_its_end_it_is_quiet_up_to_the_next_deadline() -> None:
    """Nothing is due any more, but an event of a day long past settles the days since all the same."""
    days_later_us, next_deadline_us = NOON_US + 62 * HOUR_US, NOON_US + 84 * HOUR_US
    state = folded(use(NOON_US), use(NOON_US), watermark_us=days_later_us)
    assert state.due_us is None
    found = quiet(state, NOON_US)
    assert found is not None
    assert covers(found, use(NOON_US), appended_us=days_later_us, watermark_us=next_deadline_us)
    assert not covers(found, use(NOON_US), appended_us=days_later_us, watermark_us=next_deadline_us + 1)


def test_a_late_first_use_is_not_quiet_until_the_days_after_it_are_judged() -> None:
    """Simulation's seed 420663696: its duplicate was passed over, and the stop was decided a tick later."""
    days_later_us = NOON_US + 72 * HOUR_US
    partition = partition_at(days_later_us)
    decided = fold_records(partition, [record(n, use(NOON_US), days_later_us + 1) for n in range(2)])
    assert decided.told == {("p", "usage.stopped"): 1}


def test_with_a_day_excused_everything_is_asked_about_anew() -> None:
    """An event settles by the days excused, and may find the customer due at another instant."""
    partition = partition_at(0)
    excused = DayExcused(product="p", day=date(2026, 3, 20), received_us=NOON_US)
    messages = [use(NOON_US), excused, use(NOON_US + 1)]
    for n, (message, is_quiet) in enumerate(zip(messages, (True, False, True), strict=True)):
        fold_records(partition, [record(n, message, NOON_US + n)])
        known = partition.cache.get(KEY)
        assert known is not None
        assert (known.quiet is not None) == is_quiet


def test_an_event_of_a_customer_who_cannot_be_judged_is_put_aside_and_not_passed_over() -> None:
    partition = partition_at(0)
    fold_records(partition, [record(0, use(NOON_US), NOON_US)])
    known = partition.cache.get(KEY)
    assert known is not None
    assert known.state is not None
    assert known.quiet is not None
    state = state_of(("p", "a"), known.state)
    [segment] = state.segments
    broken = msgspec.structs.replace(segment.settings, zone="Mars/Olympus")
    segments = (msgspec.structs.replace(segment, settings=broken),)
    known.state = encode_state(msgspec.structs.replace(state, segments=segments))
    partition.watermark_us = NOON_US + 72 * HOUR_US
    for n in (1, 2):  # once judged in vain, then not due for an hour
        decided = fold_records(partition, [record(n, use(NOON_US), partition.watermark_us)])
        assert decided.rejected["poison"] == 1


def partition_at(watermark_us: int) -> Partition:
    """A partition that knows of nobody, with a rule of the calendar's."""
    rules = {"stopped": {"kind": "absence", "expect": "calendar", "emit": "usage.stopped"}}
    position = Position(partition=0, next_offset=0, watermark_us=watermark_us)
    partition = Partition(position, products=products_of(rules), excused={}, next_due_us=None, cached_max=9)
    remember(partition, {("p", "a"): KEY}, {})
    return partition


def record(offset: int, message: Message, appended_us: int) -> Record:
    return Record(partition=0, offset=offset, key=KEY, value=encode(message), appended_us=appended_us)


def folded(*uses: Event, watermark_us: int, product: Product = PRODUCT) -> CustomerState:
    """The state that uses leave that are read at one watermark."""
    state: CustomerState | None = None
    for each in uses:
        state = engine.fold(
            state, each, product=product, appended_us=watermark_us, watermark_us=watermark_us
        ).state
    assert state is not None
    return state


def after_a_use(rules: dict[str, Any], **event: Any) -> Quiet | None:
    """What is quiet once the same use has been read twice, at noon of a day."""
    compiled = products_of(rules)["p"]
    state: CustomerState | None = None
    for n in range(2):
        told = use(NOON_US, event_id=str(n), **event)
        state = engine.fold(state, told, product=compiled, appended_us=NOON_US, watermark_us=0).state
    assert state is not None
    return quiet_after(None, state, use(NOON_US), compiled, NONE_EXCUSED)


COUNT = {"kind": "count", "at_least": 3, "within_days": 7}
STOPPED = RULES["stopped"]


def test_where_a_rule_counts_events_nothing_is_quiet_until_it_is_reached() -> None:
    assert after_a_use({"stopped": STOPPED}) is not None
    assert after_a_use({"stopped": STOPPED, "count": COUNT}) is None
    assert after_a_use({"stopped": STOPPED, "count": {**COUNT, "counting": "active_days"}}) is not None
    assert after_a_use({"stopped": STOPPED, "count": {**COUNT, "at_least": 2}}) is not None
    assert after_a_use({"stopped": STOPPED, "count": {**COUNT, "when": {"event": "scout"}}}) is not None


def test_where_a_filter_asks_for_properties_a_name_is_quiet_once_its_day_is_active() -> None:
    sold = {**STOPPED, "when": {"event": "used", "where": {"paid": True}}}
    assert after_a_use({"stopped": STOPPED, "sold": sold}) is None
    assert after_a_use({"stopped": STOPPED, "sold": sold}, properties={"paid": True}) is not None


def test_a_day_that_was_missed_is_not_quiet_for_a_use_from_before_its_cutoff_may_come() -> None:
    compiled = products_of({"stopped": {"kind": "absence", "expect": "calendar", "cutoff": "14:00"}})["p"]
    yesterday, afternoon = NOON_US - 24 * HOUR_US, NOON_US + 3 * HOUR_US
    state: CustomerState | None = None
    for us in (yesterday, afternoon, afternoon + 1):
        outcome = engine.fold(state, use(us), product=compiled, appended_us=us, watermark_us=us - 1)
        state = outcome.state
    assert state is not None
    assert quiet_after(None, state, use(afternoon + 1), compiled, NONE_EXCUSED) is None
    late = engine.fold(
        state, use(NOON_US), product=compiled, appended_us=afternoon + 2, watermark_us=afternoon + 1
    )
    assert [trigger.type for trigger in late.triggers] == ["usage.stopped.retracted"]
