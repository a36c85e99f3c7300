"""Writes logs of one customer: by hand, a line an entry, and (further down) drawn from a seed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from shared.clock import to_us
from shared.config import ProductSection
from shared.events import Calendar, CustomerErased, DayExcused, Event, Message, Profile, ProfileChanged, Tick
from tests.oracle.log import Entry

PRODUCT = "reserve"
CUSTOMER = "c-17"


def section(rules: Mapping[str, Mapping[str, Any]], **settings: Any) -> ProductSection:
    """A product with these rules; nothing learned and the calendar read literally unless told otherwise."""
    told = {"calendar": {"learn_closed_weekdays": False}, **settings}
    literal = {
        name: {"expect": "calendar", **rule} if rule["kind"] == "absence" else rule
        for name, rule in rules.items()
    }
    return ProductSection.model_validate({**told, "rules": literal})


class Story:
    """A log written entry by entry; local times are read in `zone`, an entry is appended when it happens."""

    def __init__(self, zone: str = "UTC") -> None:
        self.zone = ZoneInfo(zone)
        self.entries: list[Entry] = []

    def us(self, at: str) -> int:
        """`2026-03-02 05:00`, local unless it ends in Z, in microseconds."""
        if at.endswith("Z"):
            return to_us(datetime.fromisoformat(at))
        return to_us(datetime.fromisoformat(at).replace(tzinfo=self.zone))

    def use(
        self, at: str, *, read: str | None = None, event: str = "used", backfill: bool = False, id: str = ""
    ) -> "Story":
        """The customer used the product at `at`, and the log got to know at `read`."""
        occurred_us = self.us(at)
        appended_us = self.us(read or at)
        return self._add(
            appended_us,
            Event(
                product=PRODUCT,
                customer_id=CUSTOMER,
                event_id=id or f"{at}/{event}",
                event=event,
                occurred_us=occurred_us,
                received_us=appended_us,
                backfill=backfill,
            ),
        )

    def use_on(self, day: str, *, read: str, backfill: bool = False) -> "Story":
        """The customer used the product on a day of which no hour is known."""
        return self._add(
            self.us(read),
            Event(
                product=PRODUCT,
                customer_id=CUSTOMER,
                event_id=day,
                occurred_on=date.fromisoformat(day),
                received_us=self.us(read),
                backfill=backfill,
            ),
        )

    def daily(self, first: str, last: str, *, hour: str = "12:00", ticks: bool = True) -> "Story":
        """Use at the same hour of every day from `first` to `last`, with a tick an hour after each."""
        day, until = date.fromisoformat(first), date.fromisoformat(last)
        while day <= until:
            self.use(f"{day} {hour}")
            if ticks:
                self.tick_us(self.us(f"{day} {hour}") + 3_600_000_000)
            day += timedelta(days=1)
        return self

    def tick(self, at: str) -> "Story":
        return self.tick_us(self.us(at))

    def tick_us(self, us: int) -> "Story":
        return self._add(us, Tick(at_us=us))

    def profile(self, at: str, *, merge: bool = False, **fields: Any) -> "Story":
        """The customer's profile is told; `calendar` as keyword arguments of `Calendar`."""
        if "calendar" in fields:
            fields["calendar"] = Calendar(**fields["calendar"])
        profile = Profile(**fields)
        us = self.us(at)
        return self._add(
            us,
            ProfileChanged(
                product=PRODUCT, customer_id=CUSTOMER, profile=profile, received_us=us, merge=merge
            ),
        )

    def excuse(self, day: str, *, read: str) -> "Story":
        us = self.us(read)
        return self._add(us, DayExcused(product=PRODUCT, day=date.fromisoformat(day), received_us=us))

    def erase(self, at: str) -> "Story":
        us = self.us(at)
        return self._add(us, CustomerErased(product=PRODUCT, customer_id=CUSTOMER, received_us=us))

    def rules(self, at: str, changed: ProductSection) -> "Story":
        """The service is started again with other rules."""
        self.entries.append(Entry(self.us(at), changed))
        return self

    def _add(self, us: int, message: Message) -> "Story":
        self.entries.append(Entry(us, message))
        return self


def utc(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, tz=UTC)


@dataclass(frozen=True, kw_only=True)
class History:
    """A drawn product and the log of one of its customers; `seed` draws it again."""

    seed: int
    section: ProductSection
    log: list[Entry]


ZONES = (
    # Each with the local dates around which its clock does something worth a look.
    ("UTC", ("2026-03-01", "2025-03-24", "2028-01-12")),
    ("Asia/Tokyo", ("2026-04-29", "2026-12-25")),
    ("Europe/Berlin", ("2026-03-29", "2026-10-25", "2026-12-25")),
    ("America/New_York", ("2026-03-08", "2026-11-01", "2026-07-04")),
    ("America/Sao_Paulo", ("2018-11-04", "2018-02-18")),  # midnight skipped, midnight repeated
    ("America/Havana", ("2026-03-08", "2026-11-01")),  # 00:00 skipped, 00:00 to 01:00 repeated
    ("America/St_Johns", ("2010-11-07", "2011-03-13")),  # set back at 00:01
    ("Asia/Beirut", ("2026-03-29", "2026-10-25")),
    ("Asia/Tehran", ("2021-09-22", "2022-03-22")),
    ("Asia/Kathmandu", ("2026-03-01",)),  # +05:45
    ("Pacific/Chatham", ("2026-04-05", "2026-09-27")),  # +12:45
    ("Australia/Lord_Howe", ("2026-04-05", "2026-10-04")),  # half an hour
    ("Pacific/Apia", ("2011-12-30",)),  # a day left out
    ("Pacific/Kiritimati", ("1994-12-31", "2026-03-01")),
    ("Africa/Casablanca", ("2026-02-15", "2026-03-22")),
    ("Atlantic/Azores", ("2026-03-29", "2026-10-25")),
)
LEFT_OUT_A_DAY = ("Pacific/Apia", "Pacific/Kiritimati")
"""A day left out by one zone and lived in the next is nobody's: who lives here stays."""
DAY_STARTS = ("00:00", "00:00", "00:00", "05:00", "03:00", "02:30", "12:00", "23:00")
CUTOFFS = (None, None, "14:00", "14:00", "00:30", "02:30", "23:30", "01:00", "05:00", "12:00")
EVENTS = ("used", "reservation.created", "reservation.changed", "login")
WHENS = ("*", "*", "reservation.*", ["login", "used"], "*.created")
MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000


def drawn(seed: int) -> History:
    """A history drawn from its seed alone."""
    return Drawing(seed).history()


def habitual(seed: int) -> History:
    """A history of two to ten months with a weekly habit, weekdays learned and misses weighed."""
    return _Habit(seed).history()


class Drawing:
    """Draws one history: a habit with silences, as a sender, a network and a log would pass it on."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        zone, dates = self.random.choice(ZONES)
        self.zone = zone
        self.days = self.random.randint(8, 45)
        middle = date.fromisoformat(self.random.choice(dates))
        first = middle - timedelta(days=self.random.randint(0, self.days))
        self.start_us = to_us(datetime.combine(first, time(), tzinfo=UTC))
        self.end_us = self.start_us + self.days * DAY_US
        self.entries: list[Entry] = []
        self.section = self._section()

    def history(self) -> History:
        self._uses()
        self._ticks()
        if self.chance(0.35):
            self._profile(self.start_us - HOUR_US, backfill=self.chance(0.2))
        for _ in range(self.random.choice((0, 0, 0, 1, 1, 2, 3))):
            self._profile(self._at(), backfill=False)
        for _ in range(self.random.choice((0, 0, 0, 0, 1, 2))):
            self._excuse()
        if self.chance(0.25):
            self._import()
        if self.chance(0.1):
            us = self._at()
            self.add(us, CustomerErased(product=PRODUCT, customer_id=CUSTOMER, received_us=us))
        section = self.section
        if self.chance(0.2):
            section = self._rule_added_later()
        self.entries.sort(key=lambda entry: entry.appended_us)
        return History(seed=self.seed, section=section, log=with_rising_times(self.entries))

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def add(self, us: int, message: Message | ProductSection) -> None:
        self.entries.append(Entry(us, message))

    def _at(self) -> int:
        return self.random.randint(self.start_us, self.end_us)

    # The product.

    def _section(self) -> ProductSection:
        rules = dict(self._rule(i) for i in range(self.random.randint(1, 3)))
        return section(
            rules,
            time_zone=self.zone if self.chance(0.8) else "UTC",
            day_starts_at=self.random.choice(DAY_STARTS),
            late_window=self.random.choice(("35d", "35d", "21d")),
            calendar={
                "learn_closed_weekdays": False,
                "closed_weekdays": self.random.choice(([], [], ["mon"], ["sat", "sun"])),
                "holidays": self.random.choice(("", "", "JP", "DE", "US", "US-CA")),
                "closures": self._closures(),
            },
        )

    def _closures(self) -> list[tuple[date, date]]:
        if self.chance(0.7):
            return []
        first = self._date()
        return [(first, first + timedelta(days=self.random.randint(0, 4)))]

    def _date(self) -> date:
        return utc(self._at()).date()

    def _rule(self, i: int) -> tuple[str, dict[str, Any]]:
        when = {"event": self.random.choice(WHENS)}
        kind = self.random.random()
        if kind < 0.3:
            return f"streak-{i}", {
                "kind": "streak",
                "when": when,
                "days": self.random.randint(1, 12),
                "counting": self.random.choice(("active_days", "calendar_days")),
                "repeat": self.chance(0.5),
            }
        cutoff = self.random.choice(CUTOFFS)
        absence: dict[str, Any] = {
            "kind": "absence",
            "when": when,
            "grace": self.random.choice(("15m", "0s", "3h")),
        }
        if cutoff is not None:
            absence["cutoff"] = cutoff
        if kind < 0.4:
            return f"never-{i}", {
                **absence,
                "anchor": "contract_started_on",
                "within_days": self.random.randint(1, 9),
                "emit": "never_started",
            }
        again = self.random.choice(([], [], [3, 7], [2], [2, 3, 4]))
        return f"stop-{i}", {
            **absence,
            "min_streak": self.random.choice((1, 1, 2, 3)),
            "again_after_days": again,
        }

    def _rule_added_later(self) -> ProductSection:
        """The product begins with some of its rules; all are there from some moment on."""
        us = self._at()
        self.entries.append(Entry(us, self.section))
        kept = dict(list(self.section.rules.items())[: self.random.randint(0, 1)])
        return self.section.model_copy(update={"rules": kept})

    # What happens.

    def _uses(self) -> None:
        us, is_quiet = self.start_us, False
        shares = self.random.choice(((0.05, 0.3), (0.15, 0.5), (0.02, 0.1)))
        closed = self.random.choice((None, None, 0, 5))
        while us < self.end_us:
            is_quiet = self.chance(0.6) if is_quiet else self.chance(shares[0])
            if not is_quiet and self.chance(0.97) and utc(us).weekday() != closed:
                for _ in range(self.random.choice((1, 1, 1, 2))):
                    self._use(us + self._hour_us())
            us += DAY_US

    def _hour_us(self) -> int:
        if self.chance(0.5):
            return self.random.randint(0, DAY_US)
        minutes_ = self.random.choice((0, 30, 60, 150, 300, 840, 1410)) + self.random.choice((-1, 0, 0, 1))
        return minutes_ * MINUTE_US - self._offset_us()

    def _offset_us(self) -> int:
        offset = utc(self.start_us).astimezone(ZoneInfo(self.zone)).utcoffset()
        return 0 if offset is None else offset // timedelta(microseconds=1)

    def _use(self, us: int) -> None:
        read_us = us + self._delay_us()
        backfill = self.chance(0.02)
        on = None
        if self.chance(0.05):
            on = utc(us + self._offset_us()).date()
        event = self._event(us, read_us, backfill=backfill, on=on)
        self.add(read_us, event)
        while self.chance(0.15):
            self.add(read_us + abs(self._delay_us()), event)

    def _event(self, us: int, read_us: int, *, backfill: bool, on: date | None = None) -> Event:
        return Event(
            product=PRODUCT,
            customer_id=CUSTOMER,
            event_id=f"{us}",
            event=self.random.choice(EVENTS),
            occurred_us=us if on is None else None,
            occurred_on=on,
            received_us=read_us,
            backfill=backfill,
        )

    def _delay_us(self) -> int:
        draw = self.random.random()
        if draw < 0.72:
            return self.random.randint(0, 2 * MINUTE_US)
        if draw < 0.76:
            return -self.random.randint(0, 8 * MINUTE_US)
        if draw < 0.9:
            return self.random.randint(MINUTE_US, 2 * DAY_US)
        return self.random.randint(DAY_US, 40 * DAY_US)

    def _ticks(self) -> None:
        us, ends_us = self.start_us, self.end_us + self.random.randint(0, 12) * DAY_US
        step_us = self.random.choice((HOUR_US, 6 * HOUR_US, 20 * HOUR_US, 3 * DAY_US, 9 * DAY_US))
        while us < ends_us:
            us += self.random.randint(1, 2 * step_us)
            drift_us = self.random.choice((0, 0, 0, 0, -6 * HOUR_US, 6 * HOUR_US, -3 * DAY_US))
            self.add(us, Tick(at_us=us + drift_us))

    def _import(self) -> None:
        """History of the weeks before, in pieces and in any order; sometimes of the days told already."""
        read_us = self._at() if self.chance(0.5) else self.start_us - self.random.randint(0, 2 * DAY_US)
        until_us = min(read_us, self.start_us + (self.random.randint(-10, 10) * DAY_US))
        used = [
            until_us - day * DAY_US - self.random.randint(0, DAY_US)
            for day in range(self.random.randint(1, 40))
            if self.chance(0.85)
        ]
        self.random.shuffle(used)
        for us in used:
            self.add(read_us, self._event(us, read_us, backfill=True))
            if self.chance(0.1):
                read_us += self.random.choice((1, MINUTE_US, DAY_US))

    def _excuse(self) -> None:
        day = self._date()
        read_us = to_us(datetime.combine(day, time(12), tzinfo=UTC)) + self.random.randint(-3, 6) * DAY_US
        self.add(read_us, DayExcused(product=PRODUCT, day=day, received_us=read_us))

    def _profile(self, us: int, *, backfill: bool) -> None:
        calendar = Calendar(
            closed_weekdays=self.random.choice((None, None, (), (0,), (5, 6))),
            holidays=self.random.choice((None, None, "", "DE")),
            closures=tuple(self._closures()),
            pause=self._pause(),
        )
        profile = Profile(
            name=self.random.choice((None, "Hanako")),
            csm=self.random.choice((None, "csm-1")),
            time_zone=self._other_zone(),
            day_starts_at=self._other_day_start(),
            calendar=calendar if self.chance(0.6) else Calendar(),
            contract_started_on=self._contract_on,
            properties={"plan": "a"} if self.chance(0.2) else {},
        )
        message = ProfileChanged(
            product=PRODUCT,
            customer_id=CUSTOMER,
            profile=profile,
            received_us=us,
            merge=self.chance(0.3),
            backfill=backfill,
        )
        self.add(us + self.random.randint(0, 1_000_000), message)

    @cached_property
    def _contract_on(self) -> date:
        """One contract for the whole history."""
        return utc(self.start_us + self.random.randint(-12, 12) * DAY_US).date()

    def _other_zone(self) -> str | None:
        if self.chance(0.6) or self.zone in LEFT_OUT_A_DAY:
            return None
        return self.random.choice((self.zone, "Asia/Tokyo", "Europe/Berlin", "America/New_York"))

    def _other_day_start(self) -> str | None:
        if self.zone in LEFT_OUT_A_DAY:
            return None
        return self.random.choice((None, None, None, "05:00", "00:00"))

    def _pause(self) -> tuple[date, date | None] | None:
        if self.chance(0.8):
            return None
        first = self._date()
        return first, None if self.chance(0.3) else first + timedelta(days=self.random.randint(0, 9))


class _Habit(Drawing):
    """As above over many months, ticked once or twice a day, with a habit worth learning."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.end_us = self.start_us + self.random.randint(60, 300) * DAY_US
        self.closed = set(self.random.sample(range(7), self.random.choice((0, 1, 1, 2, 5))))
        self.miss = self.random.choice((0.0, 0.02, 0.1))
        self.section = self._learning(self.section)

    def history(self) -> History:
        self._uses()
        self._ticks()
        for _ in range(self.random.choice((0, 0, 1))):
            self._excuse()
        if self.chance(0.3):
            self._profile(self._at(), backfill=False)
        self.entries.sort(key=lambda entry: entry.appended_us)
        return History(seed=self.seed, section=self.section, log=with_rising_times(self.entries))

    def _learning(self, product: ProductSection) -> ProductSection:
        rules = {
            name: rule.model_copy(
                update={"expect": "history", "min_surprise": self.random.choice((None, None, 0.5, 0.0))}
            )
            if rule.kind == "absence"
            else rule
            for name, rule in product.rules.items()
        }
        calendar = product.calendar.model_copy(update={"learn_closed_weekdays": True})
        return product.model_copy(update={"rules": rules, "calendar": calendar})

    def _uses(self) -> None:
        us, silent_until_us = self.start_us, 0
        while us < self.end_us:
            if self.chance(0.01):
                silent_until_us = us + self.random.randint(1, 12) * DAY_US
            is_away = us < silent_until_us or self.chance(self.miss)
            if not is_away and (utc(us).weekday() not in self.closed or self.chance(0.02)):
                self._use(us + self._hour_us())
            us += DAY_US

    def _ticks(self) -> None:
        for us in range(self.start_us, self.end_us, DAY_US):
            self.add(us + self.random.randint(0, DAY_US), Tick(at_us=us + self.random.randint(0, DAY_US)))


def with_rising_times(entries: list[Entry]) -> list[Entry]:
    """The log's own clock never stands still."""
    rising, last_us = [], 0
    for entry in entries:
        last_us = max(entry.appended_us, last_us + 1)
        rising.append(Entry(last_us, entry.message))
    return rising
