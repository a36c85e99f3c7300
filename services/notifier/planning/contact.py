"""When a customer may be called: its contact window and its CSM's working hours, as instants. Pure."""

from collections.abc import Iterator
from datetime import date

import msgspec

from services.notifier.planning.quiet import QuietDays
from services.notifier.planning.zones import WHOLE_DAY, Span, openings, parse_window, zone

LOOK_AHEAD_DAYS = 31
"""A contact window that does not meet the CSM's hours within so many days is taken never to open."""

_NO_DAYS = QuietDays()


class Contact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When the customer may be called and when its CSM works; None means at any time.

    `quiet` are days of the customer's zone, `days_off` (0 = Monday) and `hours_quiet` of the CSM's.
    """

    zone: str
    day_starts_at: str = "00:00"
    window: str | None = None
    quiet: QuietDays = _NO_DAYS
    hours: str | None = None
    hours_zone: str | None = None
    days_off: tuple[int, ...] = ()
    hours_quiet: QuietDays = _NO_DAYS


def next_contact(contact: Contact, now_us: int) -> Span | None:
    """The first span from `now_us` on in which the customer may be called and the CSM works.

    None where there is nothing to keep to, or where they do not meet within a month.
    """
    spans = [spans for spans in (_calls(contact, now_us), _hours(contact, now_us)) if spans]
    if not spans:
        return None
    return next(spans[0], None) if len(spans) == 1 else _first_common(spans[0], spans[1])


def _calls(contact: Contact, now_us: int) -> Iterator[Span] | None:
    if contact.window is None and not contact.quiet:
        return None
    times = WHOLE_DAY if contact.window is None else parse_window(contact.window)
    return openings(
        times, zone(contact.zone), from_us=now_us, days_max=LOOK_AHEAD_DAYS, is_closed=contact.quiet.has
    )


def _hours(contact: Contact, now_us: int) -> Iterator[Span] | None:
    if contact.hours is None or contact.hours_zone is None:
        return None

    def is_off(day: date) -> bool:
        return day.weekday() in contact.days_off or contact.hours_quiet.has(day)

    return openings(
        parse_window(contact.hours),
        zone(contact.hours_zone),
        from_us=now_us,
        days_max=LOOK_AHEAD_DAYS,
        is_closed=is_off,
    )


def _first_common(ones: Iterator[Span], others: Iterator[Span]) -> Span | None:
    one, other = next(ones, None), next(others, None)
    while one and other:
        common = max(one[0], other[0]), min(one[1], other[1])
        if common[0] < common[1]:
            return common
        if one[1] <= other[1]:
            one = next(ones, None)
        else:
            other = next(others, None)
    return None
