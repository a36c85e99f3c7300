"""Reads a log of one customer from its start and says every trigger, re-deriving all after each entry.

Readings where the pages leave it open:

- An event that names its day alone is too old when the whole day lies before the late window, and in
  the future when the whole day lies after the tolerance.
- What a profile's record settles on the way is told with the new profile.
- A refused event changes nothing, not even what was due.
- Where an event concerns several rules, and where several have days to settle, the rules go in the
  order of the configuration, each with all its days.
- An excused day is taken out of the missed ones when its record is read; what is due is settled then too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import msgspec

from shared.config import ProductSection, StreakRuleSection, When
from shared.events import (
    FUTURE_TOLERANCE_US,
    CustomerErased,
    DayExcused,
    Event,
    Profile,
    ProfileChanged,
    Tick,
)
from shared.triggers import Trigger
from tests.oracle.absence_rule import MICROSECOND, AbsenceBook
from tests.oracle.anchored_rule import AnchoredBook
from tests.oracle.customer import Customer, Judgement, Literal, merged
from tests.oracle.facts import Decision, facts_of
from tests.oracle.log import Entry
from tests.oracle.streak_rule import StreakBook


def patterns_of(when: When) -> tuple[str, ...]:
    return (when.event,) if isinstance(when.event, str) else when.event


def matches(patterns: tuple[str, ...], name: str) -> bool:
    """Whether an event of that name counts; `*` stands for any run of characters, and nothing else does."""
    return any(fnmatchcase(name, p.replace("[", "[[]").replace("?", "[?]")) for p in patterns)


@dataclass(kw_only=True)
class Oracle:
    """The whole of the pages for one customer of one product."""

    product_id: str
    customer_id: str
    section: ProductSection
    judgement: Judgement = field(default_factory=Literal)
    watermark_us: int = 0
    excused: set[int] = field(default_factory=set)
    customer: Customer | None = None
    active: dict[tuple[str, ...], set[int]] = field(default_factory=dict)
    books: dict[str, AbsenceBook | StreakBook | AnchoredBook] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)

    def read(self, entry: Entry) -> list[Trigger]:
        """The triggers of the next entry, in order."""
        return list(self._read(entry.message, entry.appended_us))

    def _read(self, message: object, appended_us: int) -> Iterator[Trigger]:
        if isinstance(message, ProductSection):
            self._configure(message)
        elif isinstance(message, Tick):
            self.watermark_us = max(self.watermark_us, min(message.at_us, appended_us))
            yield from self._settle()
        elif isinstance(message, DayExcused):
            self.excused.add(message.day.toordinal())
            yield from self._excuse(message.day.toordinal())
        elif isinstance(message, CustomerErased):
            self._forget()
        elif isinstance(message, ProfileChanged):
            settled = list(self._settle())
            self._change_profile(message, appended_us)
            yield from (self._about_customer_now(trigger) for trigger in settled)
        elif isinstance(message, Event):
            refusal = self._refusal(message, appended_us)
            if refusal is not None:
                self.rejected.append(refusal)
                return
            yield from self._settle()
            yield from self._observe(message, appended_us)

    # What the customer and its rules are.

    def _forget(self) -> None:
        self.customer, self.active, self.books = None, {}, {}

    def _configure(self, section: ProductSection) -> None:
        self.section = section
        self.books = {
            name: book
            for name, book in self.books.items()
            if name in section.rules and section.rules[name] == book.rule
        }
        if self.customer is not None:
            self.customer.section = section

    def _unknown(self, profile: Profile) -> Customer:
        return Customer(
            product_id=self.product_id,
            id=self.customer_id,
            section=self.section,
            excused=self.excused,
            judgement=self.judgement,
            profile=profile,
        )

    def _begin(self, profile: Profile, known_us: int) -> Customer:
        self.customer = self._unknown(profile)
        self.active[("*",)] = set()
        self._meet_rules(known_us)
        return self.customer

    def _meet_rules(self, known_us: int) -> None:
        """Opens a book for every rule that has none yet."""
        if self.customer is None:
            return
        for name, rule in self.section.rules.items():
            if name in self.books:
                continue
            active = self.active.setdefault(patterns_of(rule.when), set())
            if isinstance(rule, StreakRuleSection):
                self.books[name] = StreakBook(name=name, rule=rule, customer=self.customer, active=active)
            elif rule.anchor is not None:
                self.books[name] = AnchoredBook(name=name, rule=rule, customer=self.customer, active=active)
            else:
                self.books[name] = AbsenceBook(name=name, rule=rule, customer=self.customer, active=active)
            self.books[name].meet(known_us)

    def _ordered(self) -> list[AbsenceBook | StreakBook | AnchoredBook]:
        return [self.books[name] for name in self.section.rules if name in self.books]

    def _change_profile(self, message: ProfileChanged, appended_us: int) -> None:
        if self.customer is None:
            self._begin(message.profile, appended_us)
            return
        old = self.customer.profile
        new = merged(old, message.profile) if message.merge else message.profile
        if message.backfill or not any(self.active.values()):
            self.customer.correct(new)
        else:
            self.customer.change(new, message.received_us)
        for book in self._ordered():
            if isinstance(book, AnchoredBook):
                book.meet(appended_us)

    def _about_customer_now(self, trigger: Trigger) -> Trigger:
        assert self.customer is not None
        body = msgspec.structs.replace(trigger.data, customer=facts_of(self.customer))
        return msgspec.structs.replace(trigger, data=body)

    # Time.

    def _settle(self) -> Iterator[Trigger]:
        self._meet_rules(self.watermark_us)
        for book in self._ordered():
            if not isinstance(book, StreakBook):
                yield from book.settle(self.watermark_us)

    def _excuse(self, day: int) -> Iterator[Trigger]:
        self._meet_rules(self.watermark_us)
        for book in self._ordered():
            if isinstance(book, AbsenceBook):
                yield from book.excuse(day, self.watermark_us)
            if not isinstance(book, StreakBook):
                yield from book.settle(self.watermark_us)

    # Use.

    def _observe(self, event: Event, appended_us: int) -> Iterator[Trigger]:
        day = self._day_of(self.customer or self._begin(Profile(), appended_us), event)
        decision = Decision(at_us=appended_us, event=event, day=day)
        before = {b.name: b.episodes_now() for b in self._ordered() if isinstance(b, AbsenceBook)}
        matching = [key for key in self.active if matches(key, event.event)]
        new = {key for key in matching if day not in self.active[key]}
        first = {key for key in new if not self.active[key]}
        for key in new:
            self.active[key].add(day)
        for book in self._ordered():
            key = patterns_of(book.rule.when)
            if key not in matching:
                continue
            if isinstance(book, AbsenceBook):
                yield from book.observe(
                    decision, before=before[book.name], is_new=key in new, is_first=key in first
                )
            elif isinstance(book, StreakBook):
                yield from book.observe(decision, is_new=key in new)
            elif key in new:
                yield from book.observe(decision)

    def _day_of(self, customer: Customer, event: Event) -> int:
        if event.occurred_us is not None:
            return customer.timeline.day_of(event.occurred_us)
        assert event.occurred_on is not None
        return event.occurred_on.toordinal()

    def _refusal(self, event: Event, appended_us: int) -> str | None:
        customer = self.customer or self._unknown(Profile())
        day = self._day_of(customer, event)
        first_us = last_us = event.occurred_us
        if first_us is None or last_us is None:
            last_us = customer.timeline.cutoff_us(day, None)
            first_us = customer.timeline.opens_us(day) or last_us
        if first_us > appended_us + FUTURE_TOLERANCE_US:
            return "in_future"
        if not event.backfill and last_us < appended_us - self.section.late_window // MICROSECOND:
            return "too_old"
        return None
