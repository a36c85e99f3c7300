"""Says in one line what has become of a task: who has it, how it ended, that no call is needed."""

from collections.abc import Mapping

from services.notifier.messages import wording
from services.notifier.messages.words import Words
from services.notifier.planning.zones import zone
from services.notifier.tasks.lifecycle import Outcome, Task
from shared.config import CsmSection


def said(task: Task, words: Words, csms: Mapping[str, CsmSection]) -> str:
    """The line; empty while nobody has done anything about the task."""
    match task.state:
        case "acknowledged":
            return words.say("%(who)s has taken this call.", who=_who(task.acknowledged_by, words, csms))
        case "snoozed":
            until = words.moment(task.snoozed_until_us or 0, zone(task.plan.contact.zone))
            return words.say("Snoozed until %(when)s.", when=until)
        case "done":
            who = _who(task.closed_by, words, csms)
            outcome = dict(outcomes(words)).get(task.outcome or "reached", "")
            return words.say("%(who)s: %(outcome)s", who=who, outcome=outcome)
        case "cancelled":
            return no_call(task, words, is_back=task.cancelled == "resumed")
        case "expired":
            return words.say("Expired: nobody called.")
        case _:
            return ""


def no_call(task: Task, words: Words, *, is_back: bool) -> str:
    """That the customer is back, or was never away."""
    name = wording.customer(task, words)
    if is_back:
        return words.say("%(name)s is using it again. No call is needed.", name=name)
    return words.say("%(name)s: the stop was taken back by a late event. No call is needed.", name=name)


def _who(actor: str | None, words: Words, csms: Mapping[str, CsmSection]) -> str:
    known = csms.get(actor or "")
    return words.colleague(known.name) if known is not None else actor or ""


def outcomes(words: Words) -> tuple[tuple[Outcome, str], ...]:
    """Every outcome with its words, in the order of the inbox's keys 1 to 6."""
    return (
        ("reached", words.say("Reached")),
        ("no_answer", words.say("No answer")),
        ("legitimate_absence", words.say("Closed for a reason")),
        ("product_problem", words.say("Product problem")),
        ("churn_risk", words.say("May leave")),
        ("false_alarm", words.say("False alarm")),
    )
