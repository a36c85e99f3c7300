"""Reads a log of one customer from its start and says every trigger, re-deriving all after each entry.

Readings where the pages leave it open:

- Days are judged from the day of the first event *read* that matches the rule; a late event before it
  adds an active day, but what lay between was never judged and is not judged afterwards.
- An event that names its day alone is too old when the whole day lies before the late window, and in
  the future when the whole day lies after the tolerance.
- A backfilled event on a day that is active already, and not missed, changes nothing.
- A backfilled event before settled days, no stop of which is told, makes them settled anew; none of
  them may be told afterwards (`told_from` is raised to where settling had come).
- A streak rule looks at the streak that holds the day of the deciding event, with the days after it;
  the trigger's day and timestamp are the deciding event's.
- A rule added later is met when the customer is next touched; what the watermark of that moment has
  passed is settled in silence.
- Where an event takes several rules' effects, and where several rules have a day to settle, the rules
  go in the order of the configuration, within each day.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import time, timedelta
from fnmatch import fnmatchcase

from shared.clock import rfc3339
from shared.config import AbsenceRuleSection, ProductSection, StreakRuleSection, When
from shared.events import (
    FUTURE_TOLERANCE_US,
    CustomerErased,
    DayExcused,
    Event,
    Profile,
    ProfileChanged,
    Tick,
)
from shared.triggers import RESUMED, StreakFacts, Trigger, trigger_id
from tests.oracle.customer import NO_STREAK, Customer, LearnedClosed, merged, nothing_learned
from tests.oracle.facts import Fact, iso
from tests.oracle.log import Entry
from tests.oracle.stops import Book, Episode, Resumed, Retraction, Stop, Stopped, difference

MICROSECOND = timedelta(microseconds=1)


def matches(when: When, name: str) -> bool:
    """Whether an event of that name counts; `*` stands for any run of characters."""
    patterns = (when.event,) if isinstance(when.event, str) else when.event
    return any(fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]")) for pattern in patterns)


def minutes(cutoff: time | None) -> int | None:
    return None if cutoff is None else cutoff.hour * 60 + cutoff.minute


@dataclass(kw_only=True)
class StreakBook:
    """What is kept of one customer for one streak rule: the days on which it was told, also in silence."""

    name: str
    rule: StreakRuleSection
    active: set[int]
    told_on: list[int] = field(default_factory=list)


@dataclass(kw_only=True)
class AnchoredBook:
    """What is kept of one customer for one rule with an anchor."""

    name: str
    rule: AbsenceRuleSection
    active: set[int]
    settled: set[int] = field(default_factory=set)  # first days of contracts whose window is settled
    told: set[int] = field(default_factory=set)
    resumed: set[int] = field(default_factory=set)


@dataclass(kw_only=True)
class Decision:
    """The moment in the log at which something is decided."""

    at_us: int
    event: Event | None = None
    day: int | None = None


@dataclass(kw_only=True)
class Oracle:
    """The whole of the pages for one customer of one product."""

    product_id: str
    customer_id: str
    section: ProductSection
    learned: LearnedClosed = nothing_learned
    watermark_us: int = 0
    excused: set[int] = field(default_factory=set)
    customer: Customer | None = None
    active: dict[tuple[str, ...], set[int]] = field(default_factory=dict)
    books: dict[str, Book | StreakBook | AnchoredBook] = field(default_factory=dict)
    backfilled: set[str] = field(default_factory=set)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    def read(self, entry: Entry) -> list[Trigger]:
        """The triggers of the next entry, in order."""
        return list(self._read(entry.appended_us, entry))

    def _read(self, appended_us: int, entry: Entry) -> Iterator[Trigger]:
        message = entry.message
        if isinstance(message, ProductSection):
            self.section = message
            if self.customer is not None:
                self.customer.section = message
        elif isinstance(message, Tick):
            self.watermark_us = max(self.watermark_us, min(message.at_us, appended_us))
            yield from self._settle()
        elif isinstance(message, DayExcused):
            self.excused.add(message.day.toordinal())
            yield from self._excuse(message.day.toordinal())
        elif isinstance(message, CustomerErased):
            self.customer, self.active, self.books = None, {}, {}
        elif isinstance(message, ProfileChanged):
            yield from self._settle()
            self._change_profile(message)
        elif isinstance(message, Event):
            yield from self._settle()
            yield from self._observe(message, appended_us)

    # What the customer is.

    def _known(self, profile: Profile = Profile()) -> Customer:  # noqa: B008 - frozen
        if self.customer is None:
            self.customer = Customer(
                id=self.customer_id,
                section=self.section,
                excused=self.excused,
                learned=self.learned,
                profile=profile,
            )
        self._meet_rules()
        return self.customer

    def _change_profile(self, message: ProfileChanged) -> None:
        if self.customer is None:
            self._known(message.profile)
            return
        old = self.customer.profile
        new = merged(old, message.profile) if message.merge else message.profile
        self.customer.change(new, message.received_us)
        for book in self.books.values():
            if isinstance(book, AnchoredBook) and old.contract_started_on != new.contract_started_on:
                self._settle_past_window(book)

    def _meet_rules(self) -> None:
        """Opens a book for every rule that has none yet and reads the stored days into it in silence."""
        for name, rule in self.section.rules.items():
            if name in self.books:
                continue
            key = (rule.when.event,) if isinstance(rule.when.event, str) else rule.when.event
            active = self.active.setdefault(key, set())
            if isinstance(rule, StreakRuleSection):
                book = StreakBook(name=name, rule=rule, active=active)
                self.books[name] = book
                book.told_on += [d for d in sorted(active) if self._reached(book, self._streak_to(book, d))]
            elif rule.anchor is not None:
                self.books[name] = anchored = AnchoredBook(name=name, rule=rule, active=active)
                self._settle_past_window(anchored)
            else:
                stops = Book(name=name, rule=rule, active=active)
                self.books[name] = stops
                if active:
                    stops.next_day = min(active)
                    while self._due_us(stops.rule, stops.next_day) < self.watermark_us:
                        self._judge(stops)
                    stops.told_from = stops.next_day

    # Settling.

    def _settle(self) -> Iterator[Trigger]:
        """Settles every day that the watermark has passed, day by day."""
        if self.customer is None:
            return
        self._meet_rules()
        while True:
            due = [(day, i) for i, book in enumerate(self._ordered()) for day in self._next_due(book)]
            if not due:
                return
            book = self._ordered()[min(due)[1]]
            decision = Decision(at_us=self.watermark_us)
            if isinstance(book, AnchoredBook):
                yield from self._settle_window(book, decision)
            elif isinstance(book, Book):
                before = book.episodes()
                self._judge(book)
                yield from self._tell(book, before=before, decision=decision)

    def _ordered(self) -> list[Book | StreakBook | AnchoredBook]:
        return [self.books[name] for name in self.section.rules if name in self.books]

    def _due_us(self, rule: AbsenceRuleSection, day: int) -> int:
        assert self.customer is not None
        cutoff_us = self.customer.timeline.cutoff_us(day, minutes(rule.cutoff))
        return cutoff_us + rule.grace // MICROSECOND

    def _next_due(self, book: Book | StreakBook | AnchoredBook) -> list[int]:
        assert self.customer is not None
        if isinstance(book, Book) and book.next_day is not None:
            return [book.next_day] if self._due_us(book.rule, book.next_day) < self.watermark_us else []
        if isinstance(book, AnchoredBook):
            window = self._window(book)
            if window and window[0] not in book.settled:
                return [window[1]] if self._due_us(book.rule, window[1]) < self.watermark_us else []
        return []

    def _judge(self, book: Book) -> None:
        assert self.customer is not None
        assert book.next_day is not None
        day = book.next_day
        is_expected = self.customer.expected(day, judged_on=day, active=book.active)
        if day not in book.active and day > min(book.active) and is_expected:
            book.missed.add(day)
        book.next_day += 1

    def _excuse(self, day: int) -> Iterator[Trigger]:
        if self.customer is None:
            return
        self._meet_rules()
        for book in self._ordered():
            if isinstance(book, Book) and day in book.missed:
                before = book.episodes()
                book.missed.discard(day)
                yield from self._tell(book, before=before, decision=Decision(at_us=self.watermark_us))

    # Observing.

    def _observe(self, event: Event, appended_us: int) -> Iterator[Trigger]:
        known = self.customer is not None
        customer = self._known()
        day = self._day_of(customer, event)
        reason = self._refusal(customer, event, day, appended_us)
        if reason:
            self.rejected.append((event.event_id, reason))
            if not known:
                self.customer, self.active, self.books = None, {}, {}
            return
        decision = Decision(at_us=appended_us, event=event, day=day)
        before = {b.name: b.episodes() for b in self._ordered() if isinstance(b, Book)}
        new = {key for key, days in self.active.items() if day not in days}
        new = {key for key in new if matches(When(event=key), event.event)}
        first = {key for key in new if not self.active[key]}
        for key in new:
            self.active[key].add(day)
        for book in self._ordered():
            if not matches(book.rule.when, event.event):
                continue
            key = (book.rule.when.event,) if isinstance(book.rule.when.event, str) else book.rule.when.event
            if isinstance(book, StreakBook):
                if key in new:
                    yield from self._reach(book, decision)
            elif isinstance(book, AnchoredBook):
                yield from self._begin(book, decision)
            else:
                if key in first:
                    self._start(book, decision)
                self._mark(book, decision, is_new=key in new)
                yield from self._tell(book, before=before[book.name], decision=decision)

    def _day_of(self, customer: Customer, event: Event) -> int:
        if event.occurred_us is not None:
            return customer.timeline.day_of(event.occurred_us)
        assert event.occurred_on is not None
        return event.occurred_on.toordinal()

    def _refusal(self, customer: Customer, event: Event, day: int, appended_us: int) -> str | None:
        first_us = last_us = event.occurred_us
        if first_us is None or last_us is None:
            last_us = customer.timeline.cutoff_us(day, None) - 1
            first_us = customer.timeline.opens_us(day) or last_us
        if first_us > appended_us + FUTURE_TOLERANCE_US:
            return "in_future"
        if not event.backfill and last_us < appended_us - self.section.late_window // MICROSECOND:
            return "too_old"
        return None

    def _in_time(self, book: Book, decision: Decision) -> bool:
        assert self.customer is not None
        assert decision.event is not None
        assert decision.day is not None
        if decision.event.occurred_us is None:
            return True
        cutoff_us = self.customer.timeline.cutoff_us(decision.day, minutes(book.rule.cutoff))
        return decision.event.occurred_us < cutoff_us

    def _start(self, book: Book, decision: Decision) -> None:
        """The first event read: from which day on days are judged, and from which they are told."""
        assert self.customer is not None
        assert decision.event is not None
        assert decision.day is not None
        book.next_day = book.told_from = decision.day
        if decision.event.backfill:
            book.told_from = self._first_after(book, decision.at_us)

    def _first_after(self, book: Book, us: int) -> int:
        """The first day whose cutoff is not before `us`."""
        assert self.customer is not None
        day = self.customer.timeline.day_of(us) - 3
        while self.customer.timeline.cutoff_us(day, minutes(book.rule.cutoff)) < us:
            day += 1
        return day

    def _mark(self, book: Book, decision: Decision, *, is_new: bool) -> None:
        """Takes the day out of the missed ones, or opens settled days again for history."""
        assert decision.event is not None
        assert decision.day is not None
        assert book.next_day is not None
        day = decision.day
        if not decision.event.backfill:
            if self._in_time(book, decision):
                book.missed.discard(day)
            return
        if book.name not in self.backfilled:
            self.backfilled.add(book.name)
            book.told_from = max(book.told_from, self._first_after(book, decision.at_us))
        if any(stop.day >= day for stop in book.told):
            if self._in_time(book, decision):
                book.missed.discard(day)
        elif day < book.next_day and (is_new or (day in book.missed and self._in_time(book, decision))):
            book.told_from = max(book.told_from, book.next_day)
            book.missed = {missed for missed in book.missed if missed < day}
            book.next_day = day

    # Telling.

    def _tell(self, book: Book, *, before: list[Episode], decision: Decision) -> Iterator[Trigger]:
        assert self.customer is not None
        standing = {e.start: self._standing(book, e.missed) for e in book.episodes()}
        backfilled = decision.event is not None and decision.event.backfill
        for change in difference(book, standing, before=before, backfilled=backfilled):
            if isinstance(change, Retraction):
                yield self._retraction(book, change.stop, decision)
            elif isinstance(change, Stopped):
                yield self._stopped(book, change.stop, decision)
            else:
                yield self._resumed(book, change, decision)

    def _standing(self, book: Book, missed: tuple[int, ...]) -> list[Stop]:
        assert self.customer is not None
        streak = self.customer.streak_before(missed[0], active=book.active)
        if streak.length < book.rule.min_streak:
            return []
        named = {1, *book.rule.again_after_days}
        return [
            Stop(day=day, episode=missed[0], episode_day=k) for k, day in enumerate(missed, 1) if k in named
        ]

    def _stopped(self, book: Book, stop: Stop, decision: Decision) -> Trigger:
        assert self.customer is not None
        cutoff_us = self.customer.timeline.cutoff_us(stop.day, minutes(book.rule.cutoff))
        fact = self._fact(book, book.rule.emit, stop.day, at_us=cutoff_us, decision=decision)
        return fact.told(
            id_day=iso(stop.day),
            id_episode=iso(stop.episode),
            streak=self.customer.streak_before(stop.episode, active=book.active),
            cutoff_at=rfc3339(cutoff_us),
            episode_day=stop.episode_day,
        )

    def _retraction(self, book: Book, stop: Stop, decision: Decision) -> Trigger:
        """Became true with the use that was there in time; an excused day, when it was read."""
        assert self.customer is not None
        at_us = decision.at_us if decision.day is None else self._use_us(decision, decision.day)
        fact = self._fact(book, f"{book.rule.emit}.retracted", stop.day, at_us=at_us, decision=decision)
        return fact.told(
            id_day=iso(stop.day),
            id_episode=iso(stop.episode),
            streak=self.customer.streak_before(stop.day + 1, active=book.active),
            stopped_id=self._stop_id(book, stop),
        )

    def _resumed(self, book: Book, change: Resumed, decision: Decision) -> Trigger:
        assert self.customer is not None
        day = change.episode.ended_on
        assert day is not None
        fact = self._fact(book, RESUMED, day, at_us=self._use_us(decision, day), decision=decision)
        return fact.told(
            id_day="",
            id_episode=iso(change.episode.start),
            streak=self.customer.streak(day, judged_on=day, active=book.active),
            missed_days=change.episode.missed_before_use,
            stopped_id=self._stop_id(book, change.stop),
        )

    def _use_us(self, decision: Decision, day: int) -> int:
        """When the customer was there on `day`: the event's time, or as much as a day alone says."""
        assert self.customer is not None
        if decision.event is not None and decision.day == day and decision.event.occurred_us is not None:
            return decision.event.occurred_us
        return self.customer.timeline.opens_us(day) or self.customer.timeline.cutoff_us(day, None)

    def _stop_id(self, book: Book | AnchoredBook, stop: Stop) -> str:
        return trigger_id(
            product=self.product_id,
            customer_id=self.customer_id,
            rule=book.name,
            type=book.rule.emit,
            day=iso(stop.day),
            episode=iso(stop.episode),
        )

    def _fact(
        self, book: Book | StreakBook | AnchoredBook, kind: str, day: int, *, at_us: int, decision: Decision
    ) -> Fact:
        assert self.customer is not None
        return Fact(
            product_id=self.product_id,
            customer=self.customer,
            rule=book.name,
            type=kind,
            day=day,
            at_us=at_us,
            decided_us=decision.at_us,
        )

    # Streak rules.

    def _streak_to(self, book: StreakBook, day: int) -> StreakFacts:
        assert self.customer is not None
        return self.customer.streak(day, judged_on=day, active=book.active)

    def _reached(self, book: StreakBook, streak: StreakFacts) -> bool:
        counted = streak.length if book.rule.counting == "active_days" else streak.calendar_days
        return counted >= book.rule.days

    def _reach(self, book: StreakBook, decision: Decision) -> Iterator[Trigger]:
        """The streak that holds the event's day, as far as it goes, judged on its last day."""
        assert decision.day is not None
        assert decision.event is not None
        streak = self._streak_to(book, decision.day)
        for day in sorted(d for d in book.active if d > decision.day):
            longer = self._streak_to(book, day)
            if longer.started_on is None or longer.started_on.toordinal() > decision.day:
                break
            streak = longer
        if not self._reached(book, streak) or self._told_already(book, streak):
            return
        book.told_on.append(decision.day)
        if not decision.event.backfill:
            at_us = self._use_us(decision, decision.day)
            fact = self._fact(book, book.rule.emit, decision.day, at_us=at_us, decision=decision)
            yield fact.told(
                id_day=iso(decision.day) if book.rule.repeat else "", id_episode="", streak=streak
            )

    def _told_already(self, book: StreakBook, streak: StreakFacts) -> bool:
        if not book.rule.repeat:
            return bool(book.told_on)
        assert streak.started_on is not None
        assert streak.last_active_on is not None
        first, last = streak.started_on.toordinal(), streak.last_active_on.toordinal()
        return any(first <= day <= last for day in book.told_on)

    # Rules with an anchor.

    def _window(self, book: AnchoredBook) -> tuple[int, int] | None:
        assert self.customer is not None
        assert book.rule.within_days is not None
        started_on = self.customer.profile.contract_started_on
        if started_on is None:
            return None
        return started_on.toordinal(), started_on.toordinal() + book.rule.within_days - 1

    def _settle_past_window(self, book: AnchoredBook) -> None:
        """A window that had passed when it became known is nobody's call today."""
        window = self._window(book)
        if window and self._due_us(book.rule, window[1]) < self.watermark_us:
            book.settled.add(window[0])

    def _settle_window(self, book: AnchoredBook, decision: Decision) -> Iterator[Trigger]:
        window = self._window(book)
        assert window is not None
        book.settled.add(window[0])
        if not any(window[0] <= day <= window[1] for day in book.active):
            book.told.add(window[0])
            yield self._never_started(book, decision)

    def _never_started(self, book: AnchoredBook, decision: Decision) -> Trigger:
        window = self._window(book)
        assert window is not None
        assert self.customer is not None
        cutoff_us = self.customer.timeline.cutoff_us(window[1], minutes(book.rule.cutoff))
        fact = self._fact(book, book.rule.emit, window[1], at_us=cutoff_us, decision=decision)
        return fact.told(
            id_day=iso(window[1]),
            id_episode=iso(window[0]),
            streak=NO_STREAK,
            cutoff_at=rfc3339(cutoff_us),
        )

    def _begin(self, book: AnchoredBook, decision: Decision) -> Iterator[Trigger]:
        """Use that proves a told window wrong retracts it; later use ends it."""
        window = self._window(book)
        assert self.customer is not None
        assert decision.event is not None
        assert decision.day is not None
        if window is None or window[0] not in book.told or decision.day < window[0]:
            return
        stop = Stop(day=window[1], episode=window[0], episode_day=1)
        occurred_us = decision.event.occurred_us
        cutoff_us = self.customer.timeline.cutoff_us(window[1], minutes(book.rule.cutoff))
        if decision.day <= window[1] and (occurred_us is None or occurred_us < cutoff_us):
            book.told.discard(window[0])
            at_us = self._use_us(decision, decision.day)
            fact = self._fact(book, f"{book.rule.emit}.retracted", stop.day, at_us=at_us, decision=decision)
            yield fact.told(
                id_day=iso(stop.day),
                id_episode=iso(stop.episode),
                streak=self.customer.streak_before(stop.day + 1, active=book.active),
                stopped_id=self._stop_id(book, stop),
            )
        elif window[0] not in book.resumed and not decision.event.backfill:
            book.resumed.add(window[0])
            at_us = self._use_us(decision, decision.day)
            fact = self._fact(book, RESUMED, decision.day, at_us=at_us, decision=decision)
            yield fact.told(
                id_day="",
                id_episode=iso(stop.episode),
                streak=self.customer.streak(decision.day, judged_on=decision.day, active=book.active),
                missed_days=0,
                stopped_id=self._stop_id(book, stop),
            )
