"""When so many stop at once that the product is the suspect."""

from datetime import timedelta

import pytest

from services.notifier.planning import guard
from services.notifier.planning.guard import LAG_US_MAX, LOOK_US, QUIET_US, WATCH_US_MAX, Outage
from shared.clock import rfc3339
from shared.config import PeersSection, ProductSection
from shared.errors import Conflict
from shared.triggers import decode_trigger, encode_trigger
from tests.unit.notifier.cases import HOUR, NOON, at, config, stop

SECTION = ProductSection(peers=None)  # 30 %, 20 customers at least, held for two hours
BOTH = ProductSection(peers=PeersSection())  # and 5 %, 5 customers at least, for a common cause
GRACE = timedelta(minutes=15)
SECOND = 1_000_000


def outage(stopped_count: int = 0, now_us: int = NOON) -> Outage:
    made = guard.opened(stop(), "Asia/Tokyo", now_us)
    for _ in range(stopped_count):
        made = guard.counted(made, now_us)
    return made


def held(stopped_count: int = 30, cohort_count: int = 100) -> Outage:
    return guard.weighed(outage(stopped_count), cohort_count, SECTION, NOON)


@pytest.mark.parametrize(
    ("cohort_count", "needed"),
    [(20, 20), (66, 20), (67, 21), (100, 30), (101, 31), (10_000, 3000)],  # 0.3 x 67 = 20.1
)
def test_too_many_is_a_share_of_the_cohort_and_never_a_handful(cohort_count: int, needed: int) -> None:
    assert guard.needed(cohort_count, SECTION.guard) == needed


def test_one_stop_fewer_than_too_many_is_not_held() -> None:
    assert guard.weighed(outage(29), 100, SECTION, NOON).state == "watching"
    assert guard.weighed(outage(30), 100, SECTION, NOON).state == "held"


def test_a_lone_stop_goes_out_when_the_sweep_is_over() -> None:
    watching = outage(1)
    assert watching.is_holding
    still = guard.looked(watching, NOON + QUIET_US - 1, can_be_many=True)
    assert (still.state, still.wake_us) == ("watching", NOON + QUIET_US - 1 + LOOK_US)
    assert guard.looked(still, NOON + QUIET_US, can_be_many=True).state == "clear"


def test_a_lone_stop_goes_out_at_once_when_no_more_can_come() -> None:
    assert guard.looked(outage(1), NOON + LOOK_US, can_be_many=False).state == "clear"
    lone = guard.opened(stop(), "Asia/Tokyo", NOON, is_lone=True)
    assert (lone.state, lone.is_holding, lone.wake_us) == ("clear", False, None)


def test_a_sweep_that_goes_on_is_not_waited_for_longer_than_seconds() -> None:
    watching = outage(1)
    for n in range(1, 30):
        watching = guard.counted(watching, NOON + n * SECOND)
    assert guard.looked(watching, NOON + WATCH_US_MAX - 1, can_be_many=True).state == "watching"
    assert guard.looked(watching, NOON + WATCH_US_MAX, can_be_many=True).state == "clear"


def test_a_sweep_that_turns_out_too_large_is_held_from_then_on() -> None:
    clear = guard.looked(outage(1), NOON + QUIET_US, can_be_many=True)
    for _ in range(29):
        clear = guard.counted(clear, NOON + 60 * SECOND)
    assert guard.weighed(clear, 100, SECTION, NOON + 60 * SECOND).state == "held"


def test_held_calls_go_out_unverified_when_nobody_says_anything() -> None:
    waiting = held()
    assert waiting.wake_us == NOON + 2 * HOUR
    assert guard.expired(waiting, NOON + 2 * HOUR).state == "unverified"


def test_late_events_dissolve_it() -> None:
    fewer = guard.taken_back(held(31), SECTION, NOON)
    assert fewer.state == "held"
    assert guard.taken_back(fewer, SECTION, NOON).state == "dissolved"


def test_a_person_releases_it_once() -> None:
    released = guard.released(held(), "csm-2", NOON)
    assert (released.state, released.closed_by) == ("released", "csm-2")
    assert guard.released(released, "csm-2", NOON + 1) is released


def test_what_holds_nothing_is_not_released() -> None:
    with pytest.raises(Conflict, match="is unverified"):
        guard.released(guard.expired(held(), NOON + 2 * HOUR), "csm-2", NOON)
    with pytest.raises(Conflict, match="is watching"):
        guard.released(outage(1), "csm-2", NOON)


def test_what_was_let_go_is_never_held_again() -> None:
    released = guard.released(held(), "csm-2", NOON)
    more = guard.counted(released, NOON)
    assert guard.weighed(more, 100, SECTION, NOON).state == "released"


def test_stops_belong_together_by_product_rule_and_cutoff() -> None:
    same = {guard.outage_id(stop("c-1")), guard.outage_id(stop("c-2"))}
    others = {guard.outage_id(stop(day="2026-03-03")), guard.outage_id(stop(rule="evenings"))}
    assert same == {"reserve/usage-stopped/2026-03-02T05:00:00Z"}
    assert len(same | others) == 3


def test_the_cohort_is_judged_at_the_same_local_time_on_the_following_days() -> None:
    found = guard.deadlines_us(outage(), GRACE)
    assert [rfc3339(us) for us in found[:2]] == ["2026-03-02T05:15:00Z", "2026-03-03T05:15:00Z"]
    assert len(found) == 9


def test_a_change_of_clocks_moves_nobody_into_another_cohort() -> None:
    # In Berlin 2026-03-29 has 23 hours: 14:00 is 13:00Z on the 28th and 12:00Z on the 29th.
    saturday = Outage(
        id="x",
        product="reserve",
        rule="usage-stopped",
        cutoff_us=at("2026-03-28T14:00+01:00"),
        day=stop().data.day,
        zone="Europe/Berlin",
        state="watching",
        stopped_count=0,
        cohort_count=0,
        opened_us=0,
        changed_us=0,
        wake_us=None,
    )
    found = guard.deadlines_us(saturday, timedelta(0))
    assert [rfc3339(us) for us in found[:2]] == ["2026-03-28T13:00:00Z", "2026-03-29T12:00:00Z"]


def test_the_notice_is_a_trigger_like_any_other_with_an_id_of_its_own() -> None:
    notice = guard.silence_trigger(held(), NOON)
    assert decode_trigger(encode_trigger(notice)) == notice
    assert notice.id == guard.silence_trigger(held(40), NOON + HOUR).id
    assert (notice.type, notice.data.count, notice.data.customer.name) == (
        "product.silence_suspected",
        30,
        "reserve: 30 / 100",
    )


def test_the_notice_goes_to_the_lead_where_calls_would_have_been_announced_to_people() -> None:
    plan = guard.silence_plan(held(), config(), NOON)
    assert (plan.owner, plan.channels) == ("csm-2", ("cs-slack",))
    chosen = guard.silence_plan(held(), config(guard={"send": ["phone"]}), NOON)
    assert chosen.channels == ("phone",)


# A common cause


def common(stopped_count: int = 12, cohort_count: int = 200) -> Outage:
    return guard.weighed(outage(stopped_count), cohort_count, BOTH, NOON)


def test_one_customer_in_twenty_has_a_common_cause_and_one_in_three_an_outage() -> None:
    states = [guard.weighed(outage(n), 100, BOTH, NOON).state for n in (4, 5, 29, 30)]
    assert states == ["watching", "common", "common", "held"]


def test_a_product_that_does_not_ask_for_common_causes_has_none() -> None:
    assert guard.weighed(outage(29), 100, SECTION, NOON).state == "watching"


def test_a_common_cause_that_grows_becomes_a_suspected_outage() -> None:
    grown = guard.counted(common(29, 100), NOON + SECOND)
    assert grown.wake_us == NOON + SECOND  # the newcomer is told why it waits
    assert guard.weighed(grown, 100, BOTH, NOON + SECOND).state == "held"


def test_calls_wait_for_two_ordinary_days_after_a_common_cause() -> None:
    # NOON is 14:15 on 2 March, the settling of its cutoff; those of the 3rd and 4th follow at 14:15.
    second_day = at("2026-03-04T14:15+09:00") + WATCH_US_MAX
    waiting = guard.waited(common(), (), GRACE, NOON, is_settled=True)
    assert (waiting.state, waiting.wake_us) == ("common", second_day)
    assert guard.waited(waiting, (), GRACE, second_day, is_settled=True).state == "over"


def test_another_common_day_in_between_makes_them_wait_longer() -> None:
    longer = guard.waited(common(), (1,), GRACE, at("2026-03-04T14:16+09:00"), is_settled=True)
    assert (longer.state, longer.wake_us) == ("common", at("2026-03-05T14:15+09:00") + WATCH_US_MAX)


def test_a_day_that_is_not_settled_is_waited_for_but_not_for_ever() -> None:
    over_us = at("2026-03-04T14:15+09:00") + WATCH_US_MAX
    assert guard.waited(common(), (), GRACE, over_us, is_settled=False).state == "common"
    assert guard.waited(common(), (), GRACE, over_us + LAG_US_MAX, is_settled=False).state == "over"


def test_late_events_that_take_the_stops_back_end_a_common_cause() -> None:
    fewer = guard.taken_back(common(10, 200), BOTH, NOON)
    assert (fewer.state, fewer.wake_us) == ("over", NOON)


def test_a_person_releases_calls_that_wait_for_a_common_cause() -> None:
    assert guard.released(common(), "csm-2", NOON).state == "released"
