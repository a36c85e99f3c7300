"""The configuration file as values: products, rules, playbooks, channels and CSMs.

`shared/config_file.py` reads YAML into these and finds the line of each error.
"""

import fnmatch
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from typing import Annotated

from pydantic import AfterValidator, model_validator

from shared.config_calls import (
    CsmSection,
    GuardSection,
    PeersSection,
    PlaybookSection,
    QuietDaysSection,
    TaskSection,
)
from shared.config_channels import Channel, EmailChannel, SlackChannel, WebhookChannel
from shared.config_rules import (
    AbsenceRuleSection,
    CountRuleSection,
    DeclineRuleSection,
    RuleSection,
    StreakRuleSection,
    When,
)
from shared.config_types import (
    LANGUAGES,
    Duration,
    Holidays,
    LocalTime,
    Name,
    Section,
    TimeZone,
    Weekdays,
    Window,
    parse_local_time,
)
from shared.events import Calendar


class CalendarSection(Section):
    """The product's default calendar; a customer's own settings override it key by key."""

    closed_weekdays: Weekdays = ()
    holidays: Holidays = ""
    closures: tuple[tuple[date, date], ...] = ()
    learn_closed_weekdays: bool = True

    def to_calendar(self) -> Calendar:
        return Calendar(
            closed_weekdays=self.closed_weekdays,
            holidays=self.holidays,
            closures=self.closures,
            learn_closed_weekdays=self.learn_closed_weekdays,
        )


DEFAULT_CUSTOMER_PATHS = (
    "groupId",
    "context.groupId",
    "properties.$groups.*",
    "accountId",
    "context.accountId",
    "properties.accountId",
    "properties.account_id",
    "subject",
    "userId",
    "distinct_id",
)
"""Where other services' events name the customer; the first path that is filled wins."""


def check_path(value: str) -> str:
    """`context.groupId`: the names to follow into an event; a last `*` takes the first value there."""
    steps = value.split(".")
    if not all(steps) or "*" in steps[:-1] or len(value) > 200:
        raise ValueError("a path is names with dots between, such as context.groupId or properties.$groups.*")
    return value


class ProductSection(Section):
    """One product: its customers' defaults, its rules, its playbooks.

    `peers: null`: no call ever waits for what others do.
    `customer_from` says where events in other services' formats name the customer. On `quiet_days`, in the
    customer's zone, nobody is called.
    """

    time_zone: TimeZone = "UTC"
    day_starts_at: LocalTime = time(0, 0)
    calendar: CalendarSection = CalendarSection()
    late_window: Duration = timedelta(days=35)
    guard: GuardSection = GuardSection()
    peers: PeersSection | None = PeersSection()
    quiet_days: QuietDaysSection = QuietDaysSection()
    rules: Mapping[Name, RuleSection] = {}
    playbooks: tuple[PlaybookSection, ...] = ()
    customer_from: tuple[Annotated[str, AfterValidator(check_path)], ...] = DEFAULT_CUSTOMER_PATHS

    @property
    def looks_back(self) -> timedelta:
        """How far back the tasks of a customer matter to its next one."""
        spans = [p.cooldown for p in self.playbooks if p.cooldown is not None]
        spans += [max(p.damping.within, p.damping.wait) for p in self.playbooks if p.damping is not None]
        return max(spans, default=timedelta())

    def emitted(self) -> tuple[str, ...]:
        """Every type of trigger that its rules can emit."""
        found = dict.fromkeys(kind for rule in self.rules.values() for kind in rule.emitted())
        return tuple(found)


OVER_MIN = timedelta(days=60)
"""What is over is kept for so long at the least: late events may take a stop back, a reader may lag."""


def check_kept(value: timedelta) -> timedelta:
    """Long enough that nobody asks for it any more."""
    if value < OVER_MIN:
        raise ValueError(f"at least {OVER_MIN.days}d, for late events may still change what was told")
    return value


Kept = Annotated[Duration, AfterValidator(check_kept)]


class RetentionSection(Section):
    """How long what is over is kept; absent: for ever.

    `triggers` from when they were told, `tasks` from when they were closed, `dead_letters` from when they
    were put aside. Events lie in the log, for KAFKA_RETENTION_HOURS; days and streaks stay until erased.
    """

    triggers: Kept | None = None
    tasks: Kept | None = None
    dead_letters: Duration | None = None


UnknownName = tuple[tuple[str | int, ...], str, str, tuple[str, ...]]
"""Where it stands, what is wrong, the name as written, and the names there are."""


class UnknownNames(ValueError):
    """The file names things that it does not define; `found` says which and where."""

    def __init__(self, found: tuple[UnknownName, ...]) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, place))}: {said}" for place, said, _, _ in found))
        self.found = found


class Config(Section):
    """The whole file."""

    products: Mapping[Name, ProductSection] = {}
    channels: Mapping[Name, Channel] = {}
    csms: Mapping[str, CsmSection] = {}
    retention: RetentionSection = RetentionSection()

    @model_validator(mode="after")
    def _names_exist(self) -> "Config":
        found = tuple(self._unknown_names())
        if found:
            raise UnknownNames(found)
        return self

    def _unknown_names(self) -> Iterator[UnknownName]:
        for csm_id, csm in self.csms.items():
            for role, other in (("backup", csm.backup), ("lead", csm.lead)):
                if other is not None and other not in self.csms:
                    yield ("csms", csm_id, role), f"no CSM {other!r}", other, tuple(self.csms)
        for name, section in self.channels.items():
            others = tuple(other for other in self.channels if other != name)
            if section.notify is not None and section.notify not in others:
                at = ("channels", name, "notify")
                yield at, f"no other channel {section.notify!r}", section.notify, others
        for product_id, product in self.products.items():
            for channel in product.guard.send:
                if channel not in self.channels:
                    where = ("products", product_id, "guard", "send")
                    yield where, f"no channel {channel!r}", channel, tuple(self.channels)
            for i, playbook in enumerate(product.playbooks):
                place = ("products", product_id, "playbooks", i)
                yield from self._unknown_in_playbook(place, playbook, product.emitted())

    def _unknown_in_playbook(
        self, place: tuple[str | int, ...], playbook: PlaybookSection, emitted: tuple[str, ...]
    ) -> Iterator[UnknownName]:
        for wanted in (playbook.on,) if isinstance(playbook.on, str) else playbook.on:
            # A product whose rules stand in no file (its triggers come from elsewhere) is taken at its word.
            if emitted and not fnmatch.filter(emitted, wanted):
                yield (*place, "on"), f"no rule of this product emits {wanted!r}", wanted, emitted
        for channel in playbook.send:
            if channel not in self.channels:
                yield (*place, "send"), f"no channel {channel!r}", channel, tuple(self.channels)
        if playbook.owner is not None and playbook.owner not in self.csms:
            yield (*place, "owner"), f"no CSM {playbook.owner!r}", playbook.owner, tuple(self.csms)
        for step in playbook.escalate:
            if step.to not in ("backup", "lead", *self.csms):
                known = ("backup", "lead", *self.csms)
                yield (*place, "escalate"), f"no CSM {step.to!r}", step.to, known


DEFAULT_PRODUCT = "default"


def default_config() -> Config:
    """What `serve` runs with when no file is given: one product, 28 days for the habit, one stop rule."""
    return Config.model_validate(
        {
            "products": {
                DEFAULT_PRODUCT: {
                    "rules": {
                        "onboarding": {"kind": "streak", "days": 28, "emit": "onboarding.completed"},
                        "usage-stopped": {"kind": "absence", "min_streak": 3, "emit": "usage.stopped"},
                    },
                    "playbooks": [{"on": "usage.stopped"}],
                }
            }
        }
    )


__all__ = [
    "DEFAULT_CUSTOMER_PATHS",
    "DEFAULT_PRODUCT",
    "LANGUAGES",
    "AbsenceRuleSection",
    "Channel",
    "Config",
    "CountRuleSection",
    "CsmSection",
    "DeclineRuleSection",
    "EmailChannel",
    "GuardSection",
    "Holidays",
    "LocalTime",
    "PeersSection",
    "PlaybookSection",
    "ProductSection",
    "QuietDaysSection",
    "RuleSection",
    "Section",
    "SlackChannel",
    "StreakRuleSection",
    "TaskSection",
    "TimeZone",
    "UnknownNames",
    "WebhookChannel",
    "Weekdays",
    "When",
    "Window",
    "check_path",
    "default_config",
    "parse_local_time",
]
