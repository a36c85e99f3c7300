"""Puts a task's facts into words: headline, evidence and reasons, for Slack, mail and page alike."""

from collections.abc import Callable
from typing import Any

import msgspec

from services.notifier.messages.words import Words
from services.notifier.planning.notices import DISABLED, SILENCE
from services.notifier.planning.routing import RETRACTED_SUFFIX
from services.notifier.planning.zones import instant_of, zone
from services.notifier.tasks.lifecycle import Cooling, Peers, Task
from shared.triggers import MISSED_SUFFIX, RESUMED, Reason, Trigger

NAME_CHARS_MAX = 300
SURE = 0.5


class Line(msgspec.Struct, frozen=True):
    """A label and what stands beside it."""

    label: str
    text: str


def headline(task: Task, words: Words) -> str:
    """What it is about, as the playbook has it, else as the trigger's type says."""
    title = task.plan.title.get(words.language) or next(iter(task.plan.title.values()), "")
    return title or type_said(task.trigger.type, words)


def type_said(trigger_type: str, words: Words) -> str:
    """A trigger's type in words; an unknown one as it is."""
    if trigger_type == RESUMED:
        return words.say("Usage resumed")
    if trigger_type.endswith(RETRACTED_SUFFIX):
        return words.say("Stop taken back")
    if trigger_type.endswith(".stopped"):
        return words.say("Usage stopped")
    if trigger_type == SILENCE:
        return words.say("Product may be down")
    if trigger_type == DISABLED:
        return words.say("Channel disabled")
    if trigger_type == "onboarding.completed":
        return words.say("Onboarding completed")
    for ending, said in (
        (MISSED_SUFFIX, words.say("Goal missed")),
        (".reached", words.say("Goal reached")),
        (".declined", words.say("Usage declined")),
    ):
        if trigger_type.endswith(ending):
            return said
    return trigger_type


def is_notice(task: Task) -> bool:
    """Whether it speaks of a product or a channel, and of no customer."""
    return task.trigger.type in (SILENCE, DISABLED)


def customer(task: Task, words: Words) -> str:
    """The customer's name as it is addressed; its id where it has none."""
    facts = task.trigger.data.customer
    name = " ".join((facts.name or "").split())[:NAME_CHARS_MAX]
    if is_notice(task):
        return name  # a product or a channel, and nobody to be polite to
    return words.name(name) if name else facts.id


def evidence(task: Task, words: Words) -> tuple[Line, ...]:
    """On what the task rests: the miss, the last use, the streak before it, and how sure it is."""
    data = task.trigger.data
    lines = [Line(words.say("Rule"), data.rule)]
    if data.cutoff_at is not None:
        lines.append(Line(words.say("No use"), _miss(task, words)))
    if data.count is not None and not data.reasons:
        lines.append(Line(words.say("Counted"), str(data.count)))
    if data.streak.last_active_on is not None:
        lines.append(Line(words.say("Last use"), words.day(data.streak.last_active_on)))
    if data.streak.length:
        lines.append(Line(words.say("Streak"), _streak(task.trigger, words)))
    if data.episode_day is not None and data.episode_day > 1:
        lines.append(Line(words.say("Silent for"), _open_days(data.episode_day, words)))
    if data.surprise is not None:
        lines.append(Line(words.say("Surprise"), surprise(data.surprise)))
    return tuple(lines)


def surprise(share: float) -> str:
    """0.97 as `97 %`; what is not certain is never shown as 100."""
    return f"{min(99, round(share * 100))} %"


def _miss(task: Task, words: Words) -> str:
    data = task.trigger.data
    at_us = instant_of(data.cutoff_at or data.decided_at)
    day = words.day(data.day)
    customer_zone = zone(task.plan.contact.zone)
    return words.say(
        "%(day)s, by %(cutoff)s (%(zone)s)",
        day=day,
        cutoff=words.moment(at_us, customer_zone).removeprefix(f"{day} "),
        zone=task.plan.contact.zone,
    )


def _streak(trigger: Trigger, words: Words) -> str:
    streak = trigger.data.streak
    days = words.count("%(n)s active day", "%(n)s active days", streak.length)
    if streak.started_on is None:
        return days
    return words.say("%(days)s since %(since)s", days=days, since=words.day(streak.started_on))


def _open_days(n: int, words: Words) -> str:
    return words.count("%(n)s expected day", "%(n)s expected days", n)


def window(task: Task, words: Words) -> str:
    """When the customer can be reached, in its own time; empty where that is at any time."""
    contact = task.plan.contact
    if contact.window is None:
        return ""
    return words.say("%(window)s (%(zone)s)", window=contact.window.replace("-", "–"), zone=contact.zone)


def problems(task: Task, words: Words) -> tuple[str, ...]:
    """What to know before calling: what else may be behind the silence, and which settings do not fit."""
    peers = task.peers
    silent = () if peers is None else (peers_said(peers, words, is_waiting=task.held is not None),)
    again = () if task.cooling is None else (_again(task, task.cooling, words),)
    csm = task.trigger.data.customer.csm or ""
    said = {
        "unknown_csm": words.say("The customer's CSM %(csm)s is not in the configuration.", csm=csm),
        "unknown_time_zone": words.say("The customer's time zone is unknown; the product's is used."),
        "bad_contact_window": words.say("The customer's contact window cannot be read."),
        "window_never_opens": words.say("The contact window never meets the CSM's working hours."),
        "hours_never_open": words.say("The CSM does not work within the next month."),
        "no_backup": words.say("There is no backup to escalate to."),
        "no_lead": words.say("There is no lead to escalate to."),
    }
    return (*silent, *again, *(said[code] for code in task.plan.problems if code in said))


def is_unverified(task: Task) -> bool:
    """Whether the call went out although the product itself may be the cause."""
    return task.unverified and task.is_live


def unverified(words: Words) -> str:
    """What to know of such a call."""
    return words.say("Unverified: many customers stopped at once; the product may be the cause.")


def _again(task: Task, cooling: Cooling, words: Words) -> str:
    return words.say(
        "Stopped again on %(day)s. Too soon for another call: it comes on %(until)s if it is still silent.",
        day=words.day(cooling.trigger.data.day),
        until=words.moment(cooling.until_us, zone(task.plan.contact.zone)),
    )


def peers_said(peers: Peers, words: Words, *, is_waiting: bool) -> str:
    """Why a call waits, or waited, for what the days after show."""
    counts = {"stopped": peers.stopped_count, "all": peers.cohort_count}
    if is_waiting:
        return words.say(
            "%(stopped)s of %(all)s customers fell silent at once: a holiday, or the weather? Who is still"
            " silent after two ordinary days is called.",
            **counts,
        )
    return words.say(
        "%(stopped)s of %(all)s customers fell silent at once. This one was still silent days later.",
        **counts,
    )


def reasons(trigger: Trigger, words: Words) -> tuple[str, ...]:
    """Why it is surprising, or not, strongest first; a code that we do not know is left out."""
    said = (_reason(reason, words) for reason in trigger.data.reasons)
    return tuple(text for text in said if text)


def _reason(reason: Reason, words: Words) -> str | None:
    say = _REASONS.get(reason.code)
    if say is None:
        return None
    try:
        return say(words, reason.values)
    except (KeyError, TypeError, ValueError, IndexError):
        return None  # An evaluator of another version may name its values otherwise.


def _weekday_record(words: Words, v: dict[str, Any]) -> str:
    return words.say(
        "Used on %(active)s of the last %(weeks)s %(weekday)ss",
        active=v["active"],
        weeks=v["weeks"],
        weekday=words.weekday(int(v["weekday"])),
    )


def _open_day_record(words: Words, v: dict[str, Any]) -> str:
    if not v["missed"]:
        return words.say("Never missed in the last %(days)s open days", days=v["days"])
    return words.say("Missed %(missed)s of the last %(days)s open days", missed=v["missed"], days=v["days"])


def _silent_before(words: Words, v: dict[str, Any]) -> str:
    n = int(v["missed"])
    return words.count("Already silent on the open day before", "Already silent on %(n)s open days before", n)


def _public_holiday(words: Words, v: dict[str, Any]) -> str:
    return words.say(
        "A public holiday; silent on %(missed)s of %(days)s before", missed=v["missed"], days=v["days"]
    )


def _near_public_holiday(words: Words, v: dict[str, Any]) -> str:
    return words.say(
        "Beside a public holiday; silent on %(missed)s of %(days)s such days",
        missed=v["missed"],
        days=v["days"],
    )


def _customary_break(words: Words, v: dict[str, Any]) -> str:
    return words.say(
        "A customary break; silent on %(missed)s of %(days)s such days", missed=v["missed"], days=v["days"]
    )


def _moved_opening(words: Words, v: dict[str, Any]) -> str:
    return words.say(
        "Used yesterday, a %(weekday)s, when it is usually closed: may have moved its day off",
        weekday=words.weekday(int(v["weekday"])),
    )


def _decline(words: Words, v: dict[str, Any]) -> str:
    return words.say(
        "Used on %(active)s of the last %(days)s open days; before, on %(before)s of as many",
        active=v["active"],
        days=v["days"],
        before=f"{v['active_before'] * v['days'] / v['days_before']:.1f}",
    )


def _short_history(words: Words, v: dict[str, Any]) -> str:
    return words.count("Known for only %(n)s day", "Known for only %(n)s days", int(v["days"]))


_REASONS: dict[str, Callable[[Words, dict[str, Any]], str]] = {
    "weekday_record": _weekday_record,
    "open_day_record": _open_day_record,
    "silent_before": _silent_before,
    "public_holiday": _public_holiday,
    "near_public_holiday": _near_public_holiday,
    "customary_break": _customary_break,
    "moved_opening": _moved_opening,
    "short_history": _short_history,
    "decline": _decline,
}
