"""When a call goes out: held against a search by the minute, over zones, changes of clocks and quiet days."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from services.notifier.planning.contact import Contact, next_contact
from services.notifier.planning.plans import times_for
from services.notifier.planning.quiet import QuietDays
from shared.clock import from_us, to_us

ZONES = (
    "Asia/Tokyo",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",  # changes its clocks at midnight
    "Australia/Lord_Howe",  # by half an hour
    "Asia/Kathmandu",
    "Pacific/Apia",
    "UTC",
)
# Around the changes of clocks of those zones, and a week without any.
DAYS = tuple(
    date(2026, month, day) for month, day in ((3, 6), (3, 28), (4, 3), (5, 4), (9, 30), (10, 23), (10, 31))
)
MINUTE_US = 60 * 1_000_000
SEARCHED_DAYS = 6

windows = st.sampled_from(
    ("14:00-17:00", "09:00-18:00", "00:00-01:00", "22:00-02:00", "01:30-02:30", "23:30-00:30")
)
quiet = st.builds(
    lambda first, length: QuietDays(dates=((first, first + timedelta(days=length)),)),
    st.sampled_from(DAYS),
    st.integers(0, 2),
) | st.just(QuietDays())
contacts = st.builds(
    lambda zone, window, quiet, at_work, hours_zone, days_off, hours_quiet: Contact(
        zone=zone,
        window=window,
        quiet=quiet,
        hours=at_work,
        hours_zone=hours_zone if at_work is not None else None,
        days_off=days_off,
        hours_quiet=hours_quiet,
    ),
    st.sampled_from(ZONES),
    windows | st.none(),
    quiet,
    windows | st.none(),
    st.sampled_from(ZONES),
    st.sampled_from(((), (5, 6), (0,))),
    quiet,
)
instants = st.builds(
    lambda day, minute: to_us(datetime.combine(day, time(), tzinfo=ZoneInfo("UTC"))) + minute * MINUTE_US,
    st.sampled_from(DAYS),
    st.integers(-24 * 60, 48 * 60),
)


def is_open(window: str, zone: str, at_us: int, days_off: tuple[int, ...], quiet: QuietDays) -> bool:
    """Whether a clock on the wall there shows a time within the window, on a day that is none off."""
    local = from_us(at_us).astimezone(ZoneInfo(zone))
    opens, closes = time.fromisoformat(window[:5]), time.fromisoformat(window[6:])
    now = local.time().replace(second=0, microsecond=0)
    day = local.date()
    if closes <= opens:
        if not (now >= opens or now < closes):
            return False
        day = day if now >= opens else day - timedelta(days=1)
    elif not opens <= now < closes:
        return False
    return day.weekday() not in days_off and not quiet.has(day)


def may_call(contact: Contact, at_us: int) -> bool:
    """Whether the customer may be called at this instant, told from the clocks alone."""
    if contact.window is not None and not is_open(contact.window, contact.zone, at_us, (), contact.quiet):
        return False
    if contact.window is None and contact.quiet.has(from_us(at_us).astimezone(ZoneInfo(contact.zone)).date()):
        return False
    if contact.hours is None:
        return True
    zone = contact.hours_zone or ""
    return is_open(contact.hours, zone, at_us, contact.days_off, contact.hours_quiet)


@settings(max_examples=400, deadline=None)
@given(contact=contacts, now_us=instants)
def test_a_call_goes_out_at_the_first_minute_at_which_it_may(contact: Contact, now_us: int) -> None:
    minutes = range(now_us, now_us + SEARCHED_DAYS * 24 * 60 * MINUTE_US, MINUTE_US)
    expected = next((at_us for at_us in minutes if may_call(contact, at_us)), None)
    times = times_for(contact, None, (), now_us)
    if expected is not None:
        assert times.notify_us == expected
    else:
        assert times.due_us is None or times.notify_us >= minutes.stop


@settings(max_examples=200, deadline=None)
@given(contact=contacts, now_us=instants)
def test_a_window_is_open_until_it_is_due_and_not_after(contact: Contact, now_us: int) -> None:
    span = next_contact(contact, now_us)
    if span is None or span[0] > now_us + SEARCHED_DAYS * 24 * 60 * MINUTE_US:
        return
    opens_us, closes_us = max(span[0], now_us), span[1]
    assert may_call(contact, closes_us - MINUTE_US)
    assert all(may_call(contact, at_us) for at_us in range(opens_us, closes_us, 7 * MINUTE_US))


@settings(max_examples=200, deadline=None)
@given(zone=st.sampled_from(ZONES), day=st.sampled_from(DAYS), grace=st.integers(0, 120))
def test_a_restaurant_that_stops_by_two_is_called_the_same_day_before_five(
    zone: str, day: date, grace: int
) -> None:
    """The model case: reachable from 14:00 to 17:00, cutoff 14:00, a CSM of the same zone."""
    contact = Contact(zone=zone, window="14:00-17:00", hours="09:00-18:00", hours_zone=zone)
    here = ZoneInfo(zone)
    decided_us = to_us(datetime.combine(day, time(14), tzinfo=here)) + grace * MINUTE_US
    times = times_for(contact, "end_of_day", (), decided_us)
    assert times.notify_us == decided_us
    assert from_us(times.due_us or 0).astimezone(here) == datetime.combine(day, time(17), tzinfo=here)
    assert times.expires_us is not None
    assert times.due_us is not None
    assert times.due_us < times.expires_us
