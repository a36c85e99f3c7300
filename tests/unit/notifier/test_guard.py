"""When so many stop at once that the product is the suspect."""

from datetime import timedelta

import pytest

from services.notifier import guard
from services.notifier.guard import QUIET_US, WATCH_US_MAX, Outage
from services.notifier.routing import zone
from shared.clock import rfc3339
from shared.config import GuardSection
from shared.errors import Conflict
from shared.triggers import decode_trigger, encode_trigger
from tests.unit.notifier.cases import HOUR, NOON, at, config, stop

SECTION = GuardSection()  # 30 %, 20 customers at least, held for two hours
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
    assert guard.needed(cohort_count, SECTION) == needed


def test_one_stop_fewer_than_too_many_is_not_held() -> None:
    assert guard.weighed(outage(29), 100, SECTION, NOON).state == "watching"
    assert guard.weighed(outage(30), 100, SECTION, NOON).state == "held"


def test_a_lone_stop_goes_out_when_the_sweep_is_over() -> None:
    watching = outage(1)
    assert watching.is_holding
    assert guard.due(watching, NOON + QUIET_US - 1) is watching
    assert guard.due(watching, NOON + QUIET_US).state == "clear"


def test_a_sweep_that_goes_on_is_not_waited_for_longer_than_seconds() -> None:
    watching = outage(1)
    for n in range(1, 30):
        watching = guard.counted(watching, NOON + n * SECOND)
    assert watching.wake_us == NOON + WATCH_US_MAX


def test_a_sweep_that_turns_out_too_large_is_held_from_then_on() -> None:
    clear = guard.due(outage(1), NOON + QUIET_US)
    for _ in range(29):
        clear = guard.counted(clear, NOON + 60 * SECOND)
    assert guard.weighed(clear, 100, SECTION, NOON + 60 * SECOND).state == "held"


def test_held_calls_go_out_unverified_when_nobody_says_anything() -> None:
    waiting = held()
    assert waiting.wake_us == NOON + 2 * HOUR
    assert guard.due(waiting, NOON + 2 * HOUR - 1).state == "held"
    assert guard.due(waiting, NOON + 2 * HOUR).state == "unverified"


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
        guard.released(guard.due(held(), NOON + 2 * HOUR), "csm-2", NOON)
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
    found = guard.deadlines_us(outage(), zone("Asia/Tokyo"), timedelta(minutes=15))
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
    found = guard.deadlines_us(saturday, zone("Europe/Berlin"), timedelta(0))
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
