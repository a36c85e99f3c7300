"""The rules of a product, as the configuration file has them: which days and events make a fact to tell."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from shared.conditions import check_condition
from shared.config_types import Duration, LocalTime, Name, Section
from shared.triggers import MISSED_SUFFIX, RESUMED

COUNT_MAX = 1_000
"""The most events a count can ask for: their ids are remembered until it is reached."""


def _check_names(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    names = (value,) if isinstance(value, str) else value
    if not names or not all(names):
        raise ValueError('no event has that name: write a name such as "reservation.*", or leave it out')
    return value


class When(Section):
    """Which events count: names with `*` wildcards, and what `where` asks of their properties.

    Absent means every event. An event without a property that `where` names does not count.
    """

    event: Annotated[str | tuple[str, ...], AfterValidator(_check_names)] = "*"
    where: Annotated[Mapping[str, Any], AfterValidator(check_condition)] = {}


class StreakRuleSection(Section):
    """So many days in a row: reached at once, at the event that completes it."""

    kind: Literal["streak"]
    when: When = When()
    days: int = Field(ge=1, le=3660)
    counting: Literal["active_days", "calendar_days"] = "active_days"
    repeat: bool = False
    emit: Name = "streak.reached"

    def emitted(self) -> tuple[str, ...]:
        """The types of its triggers."""
        return (self.emit,)


class AbsenceRuleSection(Section):
    """An expected day passed its cutoff without use; with `anchor`, use never began."""

    kind: Literal["absence"]
    when: When = When()
    cutoff: LocalTime | None = None
    grace: Duration = timedelta(minutes=15)
    min_streak: int = Field(default=1, ge=1, le=3660)
    expect: Literal["history", "calendar"] = "history"
    min_surprise: float | None = Field(default=None, ge=0, le=1)
    again_after_days: tuple[Annotated[int, Field(ge=2, le=365)], ...] = ()
    anchor: Literal["contract_started_on"] | None = None
    within_days: int | None = Field(default=None, ge=1, le=366)
    emit: Name = "usage.stopped"

    @model_validator(mode="after")
    def _anchored(self) -> "AbsenceRuleSection":
        if (self.anchor is None) != (self.within_days is None):
            raise ValueError("anchor and within_days go together: within so many usage days of the anchor")
        if self.anchor is not None and self.again_after_days:
            raise ValueError("again_after_days does not go with an anchor: use never began only once")
        return self

    def emitted(self) -> tuple[str, ...]:
        """The types of its triggers."""
        return (self.emit, f"{self.emit}.retracted", RESUMED)


class CountRuleSection(Section):
    """So many events, or active days, within the first days from an anchor: reached at once, or missed."""

    kind: Literal["count"]
    when: When = When()
    at_least: int = Field(ge=1, le=COUNT_MAX)
    within_days: int = Field(ge=1, le=366)
    anchor: Literal["contract_started_on", "first_active_on"] = "first_active_on"
    counting: Literal["events", "active_days"] = "events"
    grace: Duration = timedelta(minutes=15)
    emit: Name = "count.reached"

    @model_validator(mode="after")
    def _can_be_reached(self) -> "CountRuleSection":
        if self.counting == "active_days" and self.at_least > self.within_days:
            raise ValueError(
                f"{self.at_least} active days never fit into {self.within_days}: "
                "lower at_least, or raise within_days"
            )
        return self

    def emitted(self) -> tuple[str, ...]:
        """The types of its triggers."""
        return (self.emit, f"{self.emit}{MISSED_SUFFIX}")


class DeclineRuleSection(Section):
    """Active days became fewer: the last ones against the mean of those before."""

    kind: Literal["decline"]
    when: When = When()
    recent_days: int = Field(default=7, ge=2, le=92)
    baseline_days: int = Field(default=28, ge=2, le=366)
    drop: float = Field(default=0.5, gt=0, le=1)
    grace: Duration = timedelta(minutes=15)
    emit: Name = "usage.declined"

    @model_validator(mode="after")
    def _compares_to_more(self) -> "DeclineRuleSection":
        if self.baseline_days < self.recent_days:
            raise ValueError(
                f"a mean over {self.baseline_days} days says little about {self.recent_days}: "
                "baseline_days is at least recent_days"
            )
        return self

    def emitted(self) -> tuple[str, ...]:
        """The types of its triggers."""
        return (self.emit,)


RuleSection = Annotated[
    StreakRuleSection | AbsenceRuleSection | CountRuleSection | DeclineRuleSection,
    Field(discriminator="kind"),
]
