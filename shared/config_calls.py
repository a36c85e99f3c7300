"""How calls are made, as configuration: the guard, playbooks with their escalation, and the CSMs."""

from collections.abc import Mapping
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from shared.conditions import Condition
from shared.config_types import Duration, Holidays, LocalTime, Section, TimeZone, Weekdays, Window


class GuardSection(Section):
    """When so many of a product's customers stop at once, the product is the suspect.

    `send`: where that is said; absent: wherever its playbooks tell people of calls.
    """

    share: float = Field(default=0.3, gt=0, le=1)
    min_customers: int = Field(default=20, ge=1)
    hold: Duration = timedelta(hours=2)
    send: tuple[str, ...] = ()


class PeersSection(Section):
    """When so many of a product's like customers stop on one day, something common is behind it.

    Their calls wait for what the following days show: a holiday, a festival, a storm passes by itself.
    """

    share: float = Field(default=0.05, gt=0, le=1)
    min_customers: int = Field(default=5, ge=2)


class TaskSection(Section):
    """What the CSM is asked to do. `title` per language."""

    kind: Literal["call", "email", "visit", "note"] = "call"
    title: Mapping[Literal["ja", "en"], str] = {}
    contact_window: Window | None = None
    expires: Literal["end_of_day", "never"] | Duration = "never"


class EscalateSection(Section):
    """Who hears of it when nobody has acknowledged so long after it went out: `backup`, `lead` or a CSM."""

    after: Duration
    to: str


def _in_a_list(value: object) -> object:
    return [value] if isinstance(value, Mapping) else value


def _in_order(steps: tuple[EscalateSection, ...]) -> tuple[EscalateSection, ...]:
    for one, following in pairwise(steps):
        if one.after >= following.after:
            raise ValueError("escalation goes up step by step: each `after` is later than the one before")
    return steps


Escalate = Annotated[
    tuple[EscalateSection, ...],
    BeforeValidator(_in_a_list, json_schema_input_type=list[EscalateSection] | EscalateSection),
    AfterValidator(_in_order),
]
"""One step, or several in order."""


class DampingSection(Section):
    """A customer that came back by itself `returns` times `within` is called for its next stop only if it is
    still silent after `wait`."""

    returns: int = Field(default=3, ge=1)
    within: Duration = timedelta(days=14)
    wait: Duration = timedelta(days=3)


class PlaybookSection(Section):
    """When this trigger (of such a customer), then this task, announced there.

    `cooldown`: for so long after a task was closed the customer is not called for the same rule again.
    """

    on: str | tuple[str, ...]
    condition: Condition = Field(default={}, alias="if")
    task: TaskSection = TaskSection()
    owner: str | None = None
    send: tuple[str, ...] = ()
    escalate: Escalate = ()
    cooldown: Duration | None = None
    damping: DampingSection | None = None


def _as_span(value: object) -> object:
    return (value, value) if isinstance(value, str | date) else value


def _not_backwards(span: tuple[date, date]) -> tuple[date, date]:
    if span[1] < span[0]:
        raise ValueError("quiet days end before they begin")
    return span


QuietSpan = Annotated[
    tuple[date, date],
    BeforeValidator(_as_span, json_schema_input_type=date | tuple[date, date]),
    AfterValidator(_not_backwards),
]
"""One day, or the first and the last of several."""


class QuietDaysSection(Section):
    """Days on which nothing is sent and calls wait: a country's public holidays, and listed dates."""

    holidays: Holidays = ""
    dates: tuple[QuietSpan, ...] = ()


class CsmSection(Section):
    """A customer success manager; at work within `hours`, but on no `days_off` and `quiet_days`.

    Of more calls than `calls_per_day_max` the most surprising are handed out one by one, the others in one
    digest a day, at `digest_at` or half an hour after the first of them.
    """

    name: str
    email: str | None = None
    slack: str | None = None
    time_zone: TimeZone = "UTC"
    hours: Window = "09:00-18:00"
    days_off: Weekdays = ()
    quiet_days: QuietDaysSection = QuietDaysSection()
    calls_per_day_max: int | None = Field(default=None, ge=1, le=1000)
    digest_at: LocalTime | None = None
    backup: str | None = None
    lead: str | None = None
    language: Literal["ja", "en"] = "en"
