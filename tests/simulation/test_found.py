"""What the simulation has found, cut down to a diary or a few steps each."""

from datetime import UTC, date, datetime, timedelta

from services.evaluator.ticker import Ticker
from shared.clock import ManualClock
from shared.events import TOPIC_EVENTS, Calendar, Profile, ProfileChanged
from tests.fakes.log import MemoryLog
from tests.histories import CUSTOMER, PRODUCT, Story, section
from tests.oracle.log import Entry
from tests.property.compare import first_difference


def _corrected(story: Story, at: str, profile: Profile) -> Story:
    """A profile whose settings hold as if they always had."""
    message = ProfileChanged(
        product=PRODUCT, customer_id=CUSTOMER, profile=profile, received_us=story.us(at), backfill=True
    )
    story.entries.append(Entry(story.us(at), message))
    return story


def test_a_corrected_profile_judges_no_day_anew_that_passed_during_a_pause() -> None:
    """Seeds 1268 and 1365: nobody is due while a customer pauses, so the paused days were still open when
    the correction took the pause back, and a call went out for one of them."""
    rules = {"stopped": {"kind": "absence", "cutoff": "14:00", "grace": "0s"}}
    story = Story().use("2026-03-07 12:00")
    story.profile("2026-03-07 13:00", calendar={"closures": ((date(2026, 3, 8), date(2026, 3, 11)),)})
    story.tick("2026-03-08 15:00")
    _corrected(story, "2026-03-08 15:30", Profile(calendar=Calendar()))
    story.tick("2026-03-08 16:00").tick("2026-03-09 15:00")
    assert first_difference(section(rules), story.entries) is None


def test_a_move_taken_back_on_the_same_day_cuts_no_day_short() -> None:
    """Seeds 4 and 94: a day that a move would cut short was passed over at once, while the move could still
    be taken back; then nobody was called for it."""
    rules = {"stopped": {"kind": "absence", "cutoff": "00:30", "grace": "0s"}}
    story = Story().excuse("2026-03-06", read="2026-03-03 08:00").use("2026-03-04 02:16")
    story.profile("2026-03-04 03:49", time_zone="Asia/Kathmandu")
    story.profile("2026-03-04 03:53", time_zone="UTC")
    story.tick("2026-03-06 00:31")
    assert first_difference(section(rules), story.entries) is None


def test_a_profile_repeated_by_its_client_moves_nothing_however_late_it_is_read() -> None:
    """Seeds 7001222 and 7001248: a move received earlier and read later does not take effect earlier."""
    rules = {"stopped": {"kind": "absence", "cutoff": "00:30", "grace": "0s"}}
    story = Story().use("2026-03-02 12:00").use("2026-03-03 12:00")
    story.profile("2026-03-04 08:00", time_zone="Asia/Kathmandu")
    again = ProfileChanged(
        product=PRODUCT,
        customer_id=CUSTOMER,
        profile=Profile(time_zone="Asia/Kathmandu"),
        received_us=story.us("2026-03-03 08:00"),
    )
    story.entries.append(Entry(story.us("2026-03-04 09:00"), again))
    for hour in ("04 18:46", "05 00:31", "05 18:46", "06 00:31"):
        story.tick(f"2026-03-{hour}")
    assert first_difference(section(rules), story.entries) is None


async def test_a_partition_that_comes_and_goes_is_not_told_the_time_each_time_it_comes() -> None:
    """Seed 132: two evaluators who disputed a partition claimed it by turns, each claim brought a tick, and
    each tick the next claim; a sweep between two ticks has the same effect."""
    clock = ManualClock(datetime(2026, 3, 2, tzinfo=UTC))
    log = MemoryLog(clock)
    awaiting: dict[int, int | None] = {}
    ticker = Ticker(log=log, clock=clock, awaiting=lambda: awaiting, every_seconds=5)
    for turn in range(3000):
        awaiting = {0: None} if turn % 2 else {}
        await ticker.step()
        clock.advance(timedelta(milliseconds=1))
    assert 0 < len(log.records(TOPIC_EVENTS)) <= 1 + 3 / 0.5
