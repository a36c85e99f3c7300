"""Who is asked to do what, where and when."""

from typing import Any

import pytest

from services.notifier.planning.plans import Plan
from services.notifier.planning.routing import plan_for
from shared.clock import rfc3339
from shared.config import Config
from shared.triggers import Trigger
from tests.unit.notifier.cases import HOUR, at, config, resumption, stop

JUST_AFTER_CUTOFF = at("2026-03-02T14:15+09:00")  # a Monday


def planned(trigger: Trigger | None = None, now_us: int = JUST_AFTER_CUTOFF, **product: Any) -> Plan | None:
    return plan_for(trigger or stop(), config(**product), now_us)


def sure(plan: Plan | None) -> Plan:
    assert plan is not None
    return plan


def playbook(**values: Any) -> dict[str, Any]:
    return {"playbooks": [{"on": "usage.stopped", **values}]}


# Which playbook


def test_the_first_playbook_that_fits_wins() -> None:
    playbooks = [
        {"on": "usage.stopped", "if": {"segment": "high-touch"}, "send": ["phone"]},
        {"on": "usage.stopped", "send": ["cs-slack"]},
    ]
    assert sure(planned(stop(segment="high-touch"), playbooks=playbooks)).channels == ("phone",)
    assert sure(planned(stop(segment="low-touch"), playbooks=playbooks)).channels == ("cs-slack",)


def test_a_trigger_that_no_playbook_wants_makes_no_task() -> None:
    assert planned(stop(type="onboarding.completed", rule="onboarding")) is None
    assert planned(stop(segment="tech-touch"), **playbook(**{"if": {"segment": "high-touch"}})) is None


def test_a_product_without_playbooks_gets_calls_for_its_stops_alone() -> None:
    assert planned(playbooks=[]) is not None
    assert planned(stop(type="onboarding.completed", rule="onboarding"), playbooks=[]) is None
    assert planned(resumption(stop()), playbooks=[]) is None


def test_a_stop_of_a_product_that_the_configuration_forgot_still_gets_a_call() -> None:
    assert planned(stop(product="gone")) is not None


@pytest.mark.parametrize(
    ("condition", "facts", "fits"),
    [
        ({"segment": ["high-touch", "mid-touch"]}, {"segment": "mid-touch"}, True),
        ({"segment": ["high-touch", "mid-touch"]}, {"segment": "low-touch"}, False),
        ({"plan": "pro"}, {"properties": {"plan": "pro"}}, True),
        ({"plan": "pro"}, {"properties": {}}, False),
        ({"seats": 5}, {"properties": {"seats": "5"}}, True),
        ({"mrr": {"at_least": 100_000}}, {"mrr": 100_000.0}, True),
        ({"mrr": {"at_least": 100_000}}, {"mrr": 99_999.0}, False),
        ({"mrr": {"at_least": 1, "below": 10}}, {"mrr": 10.0}, False),
        ({"mrr": {"below": 10}}, {}, False),
        ({"plan": {"not": "free"}}, {"properties": {"plan": "pro"}}, True),
        ({"plan": {"not": "free"}}, {"properties": {"plan": "free"}}, False),
        ({"rule": "usage-stopped"}, {}, True),
        ({"active": True}, {"properties": {"active": True}}, True),
    ],
)
def test_a_playbook_asks_for_any_fact_of_the_customer(
    condition: dict[str, Any], facts: dict[str, Any], fits: bool
) -> None:
    assert (planned(stop(**facts), **playbook(**{"if": condition})) is not None) is fits


def test_a_playbook_may_name_types_with_wildcards() -> None:
    assert planned(stop(type="onboarding.completed"), playbooks=[{"on": ["onboarding.*"]}]) is not None


@pytest.mark.parametrize("condition", [{"mrr": {"atleast": 1}}, {"mrr": {"at_least": "many"}}])
def test_a_condition_that_means_nothing_is_refused_at_start(condition: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="mrr"):
        config(**playbook(**{"if": condition}))


# Whose it is


def test_the_customers_own_csm_has_it() -> None:
    assert sure(planned(stop(csm="csm-2"), **playbook(owner="csm-1"))).owner == "csm-2"


def test_without_one_the_playbooks_owner_has_it_else_nobody() -> None:
    assert sure(planned(**playbook(owner="csm-1"))).owner == "csm-1"
    assert sure(planned()).owner is None


def test_a_csm_that_does_not_exist_is_named_and_the_task_is_kept() -> None:
    plan = sure(planned(stop(csm="csm-9"), **playbook(owner="csm-1")))
    assert (plan.owner, plan.problems) == ("csm-1", ("unknown_csm",))


def test_without_any_csms_in_the_configuration_the_products_word_is_taken() -> None:
    plan = plan_for(stop(csm="tanaka"), Config.model_validate({"products": {}}), JUST_AFTER_CUTOFF)
    assert sure(plan).owner == "tanaka"


# When


def test_a_window_that_is_open_is_used_at_once() -> None:
    times = sure(planned(**playbook(task={"contact_window": "14:00-17:00"}))).times
    assert times.notify_us == JUST_AFTER_CUTOFF
    assert times.due_us == at("2026-03-02T17:00+09:00")


def test_a_task_waits_for_its_window_on_the_same_day() -> None:
    now_us = at("2026-03-02T11:00+09:00")
    times = sure(planned(now_us=now_us, **playbook(task={"contact_window": "14:00-17:00"}))).times
    assert times.notify_us == at("2026-03-02T14:00+09:00")


def test_the_customers_own_window_goes_before_the_playbooks() -> None:
    customer = stop(contact_window="15:00-16:00")
    times = sure(planned(customer, **playbook(task={"contact_window": "09:00-12:00"}))).times
    assert (times.notify_us, times.due_us) == (at("2026-03-02T15:00+09:00"), at("2026-03-02T16:00+09:00"))


def test_the_window_is_the_customers_time_and_the_hours_the_csms() -> None:
    # 09:00-12:00 in Berlin is 17:00-20:00 in Tokyo; csm-2 works there until 18:00: one hour is common.
    customer = stop(csm="csm-2", time_zone="Europe/Berlin", contact_window="09:00-12:00")
    times = sure(planned(customer)).times
    assert (times.notify_us, times.due_us) == (at("2026-03-02T17:00+09:00"), at("2026-03-02T18:00+09:00"))


def test_outside_the_csms_hours_it_waits_for_the_morning() -> None:
    times = sure(planned(stop(csm="csm-2"), now_us=at("2026-03-02T19:00+09:00"))).times
    assert times.notify_us == at("2026-03-03T09:00+09:00")


def test_a_csms_days_off_are_skipped() -> None:
    base = config()
    csm = base.csms["csm-2"].model_copy(update={"days_off": (5, 6)})
    weekdays = base.model_copy(update={"csms": {**base.csms, "csm-2": csm}})
    friday_evening = at("2026-03-06T19:00+09:00")
    times = sure(plan_for(stop(csm="csm-2"), weekdays, friday_evening)).times
    assert times.notify_us == at("2026-03-09T09:00+09:00")


def test_a_window_that_never_meets_the_csms_hours_is_named_and_dropped() -> None:
    customer = stop(csm="csm-2", contact_window="19:00-21:00")
    plan = sure(planned(customer))
    assert plan.problems == ("window_never_opens",)
    assert plan.contact.window is None
    assert plan.times.notify_us == JUST_AFTER_CUTOFF


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"contact_window": "afternoons"}, "bad_contact_window"),
        ({"time_zone": "Mars/Base"}, "unknown_time_zone"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named_and_the_call_goes_out(
    facts: dict[str, Any], problem: str
) -> None:
    plan = sure(planned(stop(**facts)))
    assert plan.problems == (problem,)
    assert plan.times.notify_us == JUST_AFTER_CUTOFF


# Until when


def test_end_of_day_is_the_customers_usage_day_not_midnight() -> None:
    times = sure(planned(**playbook(task={"expires": "end_of_day"}))).times
    assert times.expires_us is not None
    assert rfc3339(times.expires_us) == "2026-03-02T20:00:00Z"  # 3 March 05:00 in Tokyo


def test_end_of_day_is_that_of_the_day_on_which_the_call_goes_out() -> None:
    evening = at("2026-03-02T20:00+09:00")
    task = {"contact_window": "14:00-17:00", "expires": "end_of_day"}
    times = sure(planned(now_us=evening, **playbook(task=task))).times
    assert times.expires_us == at("2026-03-04T05:00+09:00")


def test_a_lifetime_counts_from_the_call() -> None:
    times = sure(planned(**playbook(task={"expires": "4h"}))).times
    assert times.expires_us == JUST_AFTER_CUTOFF + 4 * HOUR


# Escalation


def test_it_escalates_to_the_owners_backup_or_lead_or_a_named_csm() -> None:
    for to, found in (("backup", "csm-2"), ("lead", "csm-2"), ("csm-1", "csm-1")):
        plan = sure(planned(stop(csm="csm-1"), **playbook(escalate={"after": "2h", "to": to})))
        (step,) = plan.escalations
        assert (step.after_us, step.to, plan.problems) == (2 * HOUR, found, ())


def test_an_owner_without_a_lead_is_named() -> None:
    plan = sure(planned(stop(csm="csm-2"), **playbook(escalate={"after": "2h", "to": "lead"})))
    assert (plan.escalations, plan.problems) == ((), ("no_lead",))


def test_escalating_to_somebody_unknown_is_refused_at_start() -> None:
    with pytest.raises(ValueError, match="csm-9"):
        config(**playbook(escalate={"after": "2h", "to": "csm-9"}))


def test_it_goes_up_to_the_backup_and_then_to_the_lead() -> None:
    steps = [{"after": "1h", "to": "backup"}, {"after": "2h", "to": "csm-1"}]
    plan = sure(planned(stop(csm="csm-1"), **playbook(escalate=steps)))
    assert [(step.after_us, step.to) for step in plan.escalations] == [(HOUR, "csm-2"), (2 * HOUR, "csm-1")]
    assert plan.times.escalate_us == (JUST_AFTER_CUTOFF + HOUR, JUST_AFTER_CUTOFF + 2 * HOUR)


def test_a_step_that_leads_to_nobody_is_left_out_and_the_next_one_stands() -> None:
    steps = [{"after": "1h", "to": "backup"}, {"after": "2h", "to": "csm-1"}]
    plan = sure(planned(stop(csm="csm-2"), **playbook(escalate=steps)))
    assert [step.to for step in plan.escalations] == ["csm-1"]
    assert plan.problems == ("no_backup",)


def test_whoever_hears_of_it_hears_of_it_at_work() -> None:
    # It goes out at 17:00; two hours later csm-2, who works from 09:00 to 18:00, is at home.
    at_five = at("2026-03-02T17:00+09:00")
    plan = sure(
        planned(stop(csm="csm-1"), now_us=at_five, **playbook(escalate={"after": "2h", "to": "lead"}))
    )
    assert plan.times.escalate_us == (at("2026-03-03T09:00+09:00"),)


def test_escalation_that_does_not_go_up_is_refused_at_start() -> None:
    steps = [{"after": "2h", "to": "backup"}, {"after": "2h", "to": "lead"}]
    with pytest.raises(ValueError, match="step by step"):
        config(**playbook(escalate=steps))


# Quiet days


def with_csm(csm_id: str, **values: Any) -> Config:
    """The configuration with another CSM section."""
    base = config().model_dump(by_alias=True)
    base["csms"][csm_id] |= values
    return Config.model_validate(base)


def test_a_call_waits_over_the_public_holidays_of_the_csms_country() -> None:
    # 20 March 2026 is Shunbun no Hi, a Friday.
    holidays = with_csm("csm-2", quiet_days={"holidays": "JP"}, days_off=["sat", "sun"])
    plan = plan_for(stop(csm="csm-2", day="2026-03-20"), holidays, at("2026-03-20T14:15+09:00"))
    assert sure(plan).times.notify_us == at("2026-03-23T09:00+09:00")


def test_a_call_waits_over_listed_days_and_is_no_later_for_it_on_others() -> None:
    away = with_csm("csm-2", quiet_days={"dates": ["2026-03-02", ["2026-03-03", "2026-03-05"]]})
    times = sure(plan_for(stop(csm="csm-2"), away, JUST_AFTER_CUTOFF)).times
    assert times.notify_us == at("2026-03-06T09:00+09:00")
    friday = at("2026-03-06T14:15+09:00")
    assert sure(plan_for(stop(csm="csm-2"), away, friday)).times.notify_us == friday


def test_on_a_products_quiet_days_nobody_is_called_whoevers_call_it_is() -> None:
    quiet = {"quiet_days": {"dates": ["2026-03-02"]}}
    midnight = at("2026-03-03T00:00+09:00")
    assert sure(planned(**quiet)).times.notify_us == midnight
    berlin = sure(planned(stop(time_zone="Europe/Berlin"), **quiet)).times
    assert berlin.notify_us == at("2026-03-03T00:00+01:00")


def test_a_csm_who_is_away_for_longer_than_a_month_is_named_and_the_call_goes_out() -> None:
    away = with_csm("csm-2", quiet_days={"dates": [["2026-03-01", "2026-05-31"]]})
    plan = sure(plan_for(stop(csm="csm-2"), away, JUST_AFTER_CUTOFF))
    assert (plan.problems, plan.times.notify_us) == (("hours_never_open",), JUST_AFTER_CUTOFF)


# What a playbook waits for


@pytest.mark.parametrize("on", ["usage.stoped", ["usage.stopped", "onboarding.complete"], "usage.*.resumed"])
def test_a_playbook_for_a_trigger_that_no_rule_emits_is_refused_at_start(on: Any) -> None:
    with pytest.raises(ValueError, match="no rule of this product emits"):
        config(playbooks=[{"on": on}])


@pytest.mark.parametrize("on", ["usage.stopped", "usage.resumed", "usage.stopped.retracted", "usage.*", "*"])
def test_a_playbook_may_wait_for_whatever_a_rule_emits(on: str) -> None:
    assert config(playbooks=[{"on": on}]).products["reserve"].playbooks[0].on == on
