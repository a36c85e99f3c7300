"""A customer's profile as it is put: every field checked and named, whatever is unknown refused. Pure."""

import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Self

import msgspec
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from services.ingest.limits import NAME_CHARS_MAX, check_name, check_nesting
from shared.config import Holidays, LocalTime, TimeZone, Weekdays, Window
from shared.errors import InvalidInput
from shared.events import Calendar, Profile

CLOSURES_MAX = 400

_CALENDAR_FIELDS = ("closed_weekdays", "holidays", "closures", "pause", "learn_closed_weekdays")
_DAY = re.compile(r"([0-9]{4})[-/]([0-9]{1,2})[-/]([0-9]{1,2})")
_BETWEEN_PERIODS = re.compile(r"[\s,;]+")


def _one_line(value: str) -> str:
    try:
        return check_name(value, "it")
    except InvalidInput as error:
        raise ValueError(error.message) from error


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        check_nesting(value)
        # As the evaluator will keep it with the customer's state.
        msgspec.msgpack.encode(value)
    except InvalidInput as error:
        raise ValueError(error.message) from error
    except OverflowError as error:
        raise ValueError("a whole number of more than 64 bits; send it as text") from error
    return value


def _not_nan(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("a number of money, not NaN or infinite")
    return value


def parse_period(value: object) -> object:
    """`"2026-08-11/2026-08-16"` as its two days; a single day is both; anything else as it is."""
    if not isinstance(value, str):
        return value
    first, _, last = value.replace("..", "/").partition("/")
    return (first, last or (None if "/" in value or ".." in value else first))


def parse_periods(value: object) -> object:
    """Several periods in one text, with blanks or commas between; anything else as it is."""
    if isinstance(value, str):
        return [parse_period(part) for part in _BETWEEN_PERIODS.split(value.strip()) if part]
    if isinstance(value, list):
        return [parse_period(part) for part in value]
    return value


def parse_pause(value: object) -> object:
    """A period, or `{"from": day, "until": day}`; without its end it is open."""
    if isinstance(value, Mapping):
        unknown = set(value) - {"from", "until"}
        if unknown or "from" not in value:
            raise ValueError('a pause is {"from": day, "until": day}; without until it is open')
        return (value["from"], value.get("until"))
    return parse_period(value)


def parse_day(value: object) -> date:
    """`2026-03-02`, or `2026/3/2` as spreadsheets in Japan write it; never a number."""
    match = _DAY.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        if match:
            return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        pass  # The month or the day is none; the message below says so.
    raise ValueError("a day is written 2026-03-02")


def _in_order(period: tuple[date, date | None]) -> tuple[date, date | None]:
    if period[1] is not None and period[1] < period[0]:
        raise ValueError("it ends before it starts")
    return period


Text = Annotated[str, Field(max_length=NAME_CHARS_MAX), AfterValidator(_one_line)]
Day = Annotated[date, BeforeValidator(parse_day, json_schema_input_type=date)]
Closure = Annotated[tuple[Day, Day], AfterValidator(_in_order)]
Closures = Annotated[tuple[Closure, ...], Field(max_length=CLOSURES_MAX), BeforeValidator(parse_periods)]
Pause = Annotated[tuple[Day, Day | None], AfterValidator(_in_order), BeforeValidator(parse_pause)]
Money = Annotated[float, AfterValidator(_not_nan)]
Properties = Annotated[dict[str, Any], AfterValidator(_storable)]


class CalendarBody(BaseModel):
    """On which days use is expected; what is absent is as the product has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    closed_weekdays: Weekdays | None = None
    holidays: Holidays | None = None
    closures: Closures = ()
    pause: Pause | None = None
    learn_closed_weekdays: bool | None = None

    def to_calendar(self) -> Calendar:
        return Calendar(
            closed_weekdays=self.closed_weekdays,
            holidays=self.holidays,
            closures=self.closures,
            pause=self.pause,
            learn_closed_weekdays=self.learn_closed_weekdays,
        )


class ProfileBody(CalendarBody):
    """What a product tells of a customer. Calendar fields stand here or under `calendar`, not in both."""

    name: Text | None = None
    time_zone: TimeZone | None = None
    day_starts_at: LocalTime | None = None
    calendar: CalendarBody | None = None
    csm: Text | None = None
    segment: Text | None = None
    phone: Text | None = None
    contact_window: Window | None = None
    contract_started_on: Day | None = None
    mrr: Money | None = None
    renewal_on: Day | None = None
    properties: Properties = {}

    @model_validator(mode="after")
    def _calendar_told_once(self) -> Self:
        flat = [field for field in _CALENDAR_FIELDS if field in self.model_fields_set]
        if flat and self.calendar is not None:
            raise ValueError(f"{flat[0]} stands beside calendar; put it in one place")
        return self

    def to_profile(self) -> Profile:
        """The profile as the log carries it."""
        return Profile(
            name=self.name,
            time_zone=self.time_zone,
            day_starts_at=self.day_starts_at.strftime("%H:%M") if self.day_starts_at else None,
            calendar=(self.calendar or self).to_calendar(),
            csm=self.csm,
            segment=self.segment,
            phone=self.phone,
            contact_window=self.contact_window,
            contract_started_on=self.contract_started_on,
            mrr=self.mrr,
            renewal_on=self.renewal_on,
            properties=self.properties,
        )


def parse_profile(fields: Mapping[str, Any]) -> Profile:
    """The profile of a JSON object or a row; raises InvalidInput with `field: what is wrong`."""
    try:
        return ProfileBody.model_validate(fields).to_profile()
    except ValidationError as error:
        raise InvalidInput(_first_problem(error)) from error


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown field {place[:80]!r}; what is the product's own goes under properties"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
