"""Every limit on what may be sent, once, and the checks that hold them. Pure."""

import unicodedata
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from shared.clock import EPOCH
from shared.errors import InvalidInput, TooLarge
from shared.events import CUSTOMER_ID_CHARS_MAX, FUTURE_TOLERANCE_US

EVENTS_MAX = 1000
CSV_LINES_MAX = 20_000
EVENT_BYTES_MAX = 32 << 10
NAME_CHARS_MAX = CUSTOMER_ID_CHARS_MAX
NESTING_MAX = 16
PROFILE_BYTES_MAX = 32 << 10

OLDEST_ON = date(2000, 1, 1)
"""Usage before this day is taken for a broken clock, backfill or not."""

_MICROSECOND = timedelta(microseconds=1)
_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US
_OLDEST_US = (datetime(OLDEST_ON.year, OLDEST_ON.month, OLDEST_ON.day, tzinfo=UTC) - EPOCH) // _MICROSECOND
_EPOCH_ORDINAL = EPOCH.toordinal()

# A usage day ends, somewhere on earth, up to this long after its UTC midnight: twelve hours of zone
# and a day start of up to a day; and it begins up to fourteen hours before its UTC date does.
_LATEST_END_US = 12 * _HOUR_US + 2 * _DAY_US
_EARLIEST_START_US = 14 * _HOUR_US


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What one request's events are judged by: whose they are, when they came, what is too late."""

    product: str
    now_us: int
    late_window_us: int
    backfill: bool = False

    @property
    def oldest_us(self) -> int:
        """An event that occurred from here until now is in time, without a further question."""
        return max(_OLDEST_US, self.now_us - self.late_window_us)


def check_id(value: object, field: str) -> str:
    """An id as text: a number becomes its decimal digits, blanks around it go.

    Raises InvalidInput for anything empty, longer than 200 characters or with control characters.
    """
    if value.__class__ is str:
        return check_name(value, field)
    if value.__class__ is not int:
        raise InvalidInput(f"{field} is text or a whole number")
    return check_name(str(value), field)


def check_name(text: str, field: str) -> str:
    """One line of text without control characters, blanks around it removed."""
    text = text.strip()
    # isprintable is quick and refuses too much (the ideographic space); only then look closer.
    if text and len(text) <= NAME_CHARS_MAX and text.isprintable():
        return text
    if not text:
        raise InvalidInput(f"{field} is empty")
    if len(text) > NAME_CHARS_MAX:
        raise InvalidInput(f"{field} has more than {NAME_CHARS_MAX} characters")
    if any(_is_control(character) for character in text):
        raise InvalidInput(f"{field} has control characters")
    return text


def are_plain(
    customer_id: object, event_id: object, event: object, user_id: object, *, are_printable: bool = False
) -> bool:
    """Whether ids and name are text with nothing to clean or refuse; all but the first may be "".

    One look at all four together, because nearly every event passes and this is the hottest path
    there is; whatever does not pass is looked at one by one. `are_printable`: that they have no control
    characters is known already.
    """
    try:
        is_trimmed = (
            customer_id.strip() == customer_id  # type: ignore[attr-defined]
            and event_id.strip() == event_id  # type: ignore[attr-defined]
            and event.strip() == event  # type: ignore[attr-defined]
            and user_id.strip() == user_id  # type: ignore[attr-defined]
        )
    except AttributeError:
        return False  # A number or a null.
    if not is_trimmed or customer_id == "":
        return False
    text = f"{customer_id}{event_id}{event}{user_id}"
    return len(text) <= NAME_CHARS_MAX and (are_printable or text.isprintable())


def are_surely_printable(body: bytes) -> bool:
    """Whether no string in a JSON body can hold a control character, whichever way it is written."""
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def check_nesting(properties: dict[str, Any], field: str = "properties") -> None:
    """Objects and lists at most `NESTING_MAX` deep."""
    if _is_deeper(properties, NESTING_MAX):
        raise InvalidInput(f"{field} is nested deeper than {NESTING_MAX} levels")


def check_instant(occurred_us: int, terms: Terms) -> None:
    """Neither in the future nor too old. The evaluator judges again, by the log's own clock."""
    age_us = terms.now_us - occurred_us
    if 0 <= age_us <= terms.late_window_us and occurred_us >= _OLDEST_US:
        return  # As nearly all do.
    if -age_us > FUTURE_TOLERANCE_US:
        raise InvalidInput("occurred_at lies in the future; is a clock wrong?", code="in_future")
    if occurred_us < _OLDEST_US:
        raise InvalidInput(f"occurred_at lies before {OLDEST_ON}", code="too_old")
    if not terms.backfill and age_us > terms.late_window_us:
        raise InvalidInput(_too_old(terms), code="too_old")


def check_day(day: date, terms: Terms) -> None:
    """As check_instant for a usage day, in favour of the sender: its zone is not known here."""
    start_us = (day.toordinal() - _EPOCH_ORDINAL) * _DAY_US
    if start_us - _EARLIEST_START_US > terms.now_us + FUTURE_TOLERANCE_US:
        raise InvalidInput("occurred_on lies in the future; is a clock wrong?", code="in_future")
    if day < OLDEST_ON:
        raise InvalidInput(f"occurred_on lies before {OLDEST_ON}", code="too_old")
    if not terms.backfill and start_us + _LATEST_END_US < terms.now_us - terms.late_window_us:
        raise InvalidInput(_too_old(terms), code="too_old")


def instant_us(at: datetime, field: str = "occurred_at") -> int:
    """Microseconds since the epoch; a time without an offset names no instant and is refused."""
    try:
        since = at - EPOCH
    except TypeError as error:
        raise InvalidInput(f"{field} has no offset; add one, such as +09:00 or Z") from error
    # Exact, and twice as quick as dividing by a timedelta of a microsecond.
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def too_large(bytes_max: int, what: str) -> TooLarge:
    return TooLarge(f"{what} holds {bytes_max} bytes at the most")


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _is_deeper(container: Any, levels_max: int) -> bool:
    """Whether containers stand in it more than `levels_max` deep, itself counted; looks no deeper."""
    for value in container.values() if container.__class__ is dict else container:
        # Asked of every property there is; a generator or `isinstance` would double the price.
        is_container = value.__class__ is dict or value.__class__ is list
        if is_container and (levels_max == 1 or _is_deeper(value, levels_max - 1)):
            return True
    return False


def _too_old(terms: Terms) -> str:
    days = terms.late_window_us // _DAY_US
    return f"older than the late window of {days} days; import history as backfill"
