"""The configuration file as values: products, rules, playbooks, channels and CSMs.

`shared/config_file.py` reads YAML into these and finds the line of each error.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from shared.events import Calendar

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LANGUAGES = ("ja", "en")

_DURATION = re.compile(r"^\s*(\d+)\s*(s|m|h|d)\s*$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LOCAL_TIME = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)$")
_WINDOW = re.compile(r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
_IDENTIFIER = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")


def parse_duration(value: object) -> timedelta:
    """`15m`, `2h`, `35d`, `90s`."""
    if isinstance(value, timedelta):
        return value
    match = _DURATION.match(value) if isinstance(value, str) else None
    if not match:
        raise ValueError("a duration is a number and one of s, m, h, d, such as 15m or 2h")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])


def parse_local_time(value: object) -> time:
    """`"05:00"`. YAML reads an unquoted 5:00 as the number 300, so say what to do about that."""
    if isinstance(value, time):
        return value
    match = _LOCAL_TIME.match(value) if isinstance(value, str) else None
    if not match:
        raise ValueError('a local time is written "HH:MM" in quotes, from "00:00" to "23:59"')
    return time(int(match[1]), int(match[2]))


def parse_weekdays(value: object) -> tuple[int, ...]:
    """`[mon, tue]` or `"mon tue"` as 0 = Monday .. 6 = Sunday."""
    words = re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) else value
    if not isinstance(words, list | tuple):
        raise ValueError("closed weekdays are a list such as [mon, tue]")
    days = set()
    for word in words:
        if word == "":
            continue
        key = str(word).strip().lower()[:3]
        if isinstance(word, int) and 0 <= word <= 6:
            days.add(word)
        elif key in WEEKDAYS:
            days.add(WEEKDAYS.index(key))
        else:
            raise ValueError(f"{word!r} is no weekday; use {' '.join(WEEKDAYS)}")
    return tuple(sorted(days))


@cache
def _zones() -> frozenset[str]:
    # Listing them walks the zone directory, which takes milliseconds: too long for every row of a file.
    return frozenset(available_timezones())


def check_time_zone(value: str) -> str:
    """An IANA zone known to the zone data in use."""
    if value not in _zones():
        raise ValueError(f"{value!r} is no IANA time zone, such as Asia/Tokyo or Europe/Berlin")
    ZoneInfo(value)
    return value


def check_holidays(value: str) -> str:
    """A country (`JP`) or country and subdivision (`US-CA`) known to the holidays library; "" for none."""
    if value == "":
        return value
    import holidays  # heavy: only when a country is named

    country, _, subdivision = value.partition("-")
    supported = holidays.list_supported_countries()
    if country not in supported or (subdivision and subdivision not in supported[country]):
        raise ValueError(f"{value!r} is no country of the holidays library, such as JP, DE or US-CA")
    return value


def check_window(value: str) -> str:
    """`"14:00-17:00"`; a window that ends before it starts goes over midnight, an empty one is refused."""
    if not _WINDOW.match(value):
        raise ValueError('a window is written "HH:MM-HH:MM"')
    if value[:5] == value[6:]:
        raise ValueError("a window that starts when it ends never opens")
    return value


def _identifier(value: str) -> str:
    if not _IDENTIFIER.match(value):
        raise ValueError("a name has letters, digits, '.', '_' and '-', 64 at the most")
    return value


Duration = Annotated[timedelta, BeforeValidator(parse_duration, json_schema_input_type=str)]
LocalTime = Annotated[time, BeforeValidator(parse_local_time, json_schema_input_type=str)]
Weekdays = Annotated[tuple[int, ...], BeforeValidator(parse_weekdays, json_schema_input_type=list[str] | str)]
TimeZone = Annotated[str, AfterValidator(check_time_zone)]
Holidays = Annotated[str, AfterValidator(check_holidays)]
Window = Annotated[str, AfterValidator(check_window)]
Name = Annotated[str, AfterValidator(_identifier)]


class Section(BaseModel):
    """A part of the file: frozen, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


class When(Section):
    """Which events count: names with `*` wildcards; absent means every event."""

    event: str | tuple[str, ...] = "*"


class StreakRuleSection(Section):
    """So many days in a row: reached at once, at the event that completes it."""

    kind: Literal["streak"]
    when: When = When()
    days: int = Field(ge=1, le=3660)
    counting: Literal["active_days", "calendar_days"] = "active_days"
    repeat: bool = False
    emit: Name = "streak.reached"


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


RuleSection = Annotated[StreakRuleSection | AbsenceRuleSection, Field(discriminator="kind")]


class GuardSection(Section):
    """When so many of a product's customers stop at once, the product is the suspect.

    `send`: where that is said; absent: wherever its playbooks tell people of calls.
    """

    share: float = Field(default=0.3, gt=0, le=1)
    min_customers: int = Field(default=20, ge=1)
    hold: Duration = timedelta(hours=2)
    send: tuple[str, ...] = ()


class TaskSection(Section):
    """What the CSM is asked to do. `title` per language."""

    kind: Literal["call", "email", "visit", "note"] = "call"
    title: Mapping[Literal["ja", "en"], str] = {}
    contact_window: Window | None = None
    expires: Literal["end_of_day", "never"] | Duration = "never"


class EscalateSection(Section):
    """Who hears of it when nobody acknowledges; `to` is `backup`, `lead` or a CSM."""

    after: Duration
    to: str


CONDITION_OPERATORS = ("at_least", "below", "not")


def check_condition(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `if` may say of a fact: a value, a list of them, `{at_least: 100}`, `{below: 5}` or `{not: x}`."""
    for name, want in value.items():
        if not isinstance(want, Mapping):
            continue
        for operator, bound in want.items():
            if operator not in CONDITION_OPERATORS:
                raise ValueError(f"{name}: {operator!r} is none of {' '.join(CONDITION_OPERATORS)}")
            if operator != "not" and (isinstance(bound, bool) or not isinstance(bound, int | float)):
                raise ValueError(f"{name}: {operator} takes a number")
    return value


Condition = Annotated[Mapping[str, Any], AfterValidator(check_condition)]


class PlaybookSection(Section):
    """When this trigger (of such a customer), then this task, announced there."""

    on: str | tuple[str, ...]
    condition: Condition = Field(default={}, alias="if")
    task: TaskSection = TaskSection()
    owner: str | None = None
    send: tuple[str, ...] = ()
    escalate: EscalateSection | None = None


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

    `customer_from` says where events in other services' formats name the customer.
    """

    time_zone: TimeZone = "UTC"
    day_starts_at: LocalTime = time(0, 0)
    calendar: CalendarSection = CalendarSection()
    late_window: Duration = timedelta(days=35)
    guard: GuardSection = GuardSection()
    rules: Mapping[Name, RuleSection] = {}
    playbooks: tuple[PlaybookSection, ...] = ()
    customer_from: tuple[Annotated[str, AfterValidator(check_path)], ...] = DEFAULT_CUSTOMER_PATHS


Timing = Literal["window", "at_once"]
"""`window`: when the customer may be called and the CSM works; `at_once`: as soon as it is known."""


class SlackChannel(Section):
    """A Slack incoming webhook. `language` is for calls that nobody owns; else the CSM's is used."""

    kind: Literal["slack"]
    url: str
    timing: Timing = "window"
    language: Literal["ja", "en"] = "en"
    allow_private: bool = False


class WebhookChannel(Section):
    """An endpoint that gets the trigger's JSON, signed by Standard Webhooks.

    `secret` is `whsec_` and base64; while it is being changed, `old_secrets` sign as well.
    """

    kind: Literal["webhook"]
    url: str
    secret: str
    old_secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = {}
    timing: Timing = "window"
    allow_private: bool = False


Channel = Annotated[SlackChannel | WebhookChannel, Field(discriminator="kind")]


class CsmSection(Section):
    """A customer success manager."""

    name: str
    email: str | None = None
    slack: str | None = None
    time_zone: TimeZone = "UTC"
    hours: Window = "09:00-18:00"
    days_off: Weekdays = ()
    backup: str | None = None
    lead: str | None = None
    language: Literal["ja", "en"] = "en"


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
        for product_id, product in self.products.items():
            for channel in product.guard.send:
                if channel not in self.channels:
                    where = ("products", product_id, "guard", "send")
                    yield where, f"no channel {channel!r}", channel, tuple(self.channels)
            for i, playbook in enumerate(product.playbooks):
                place = ("products", product_id, "playbooks", i)
                for channel in playbook.send:
                    if channel not in self.channels:
                        yield (*place, "send"), f"no channel {channel!r}", channel, tuple(self.channels)
                if playbook.owner is not None and playbook.owner not in self.csms:
                    yield (*place, "owner"), f"no CSM {playbook.owner!r}", playbook.owner, tuple(self.csms)
                to = playbook.escalate.to if playbook.escalate else "lead"
                if to not in ("backup", "lead", *self.csms):
                    yield (*place, "escalate", "to"), f"no CSM {to!r}", to, ("backup", "lead", *self.csms)


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
