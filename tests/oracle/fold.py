"""Reads a log of one customer from its start and says every trigger, re-deriving all after each entry.

Readings where the pages leave it open:

- An event that names its day alone is too old when the whole day lies before the late window, and in
  the future when the whole day lies after the tolerance.
- What a profile's record settles on the way is told with the new profile.
- A profile that changes none of the settings changes no day, whenever it was received: it is a client's
  repetition, and the first that was read has said from when on they hold.
- A refused event changes nothing, not even what was due.
- Where an event concerns several rules, and where several have days to settle, the rules go in the
  order of the configuration, each with all its days.
- An excused day is taken out of the missed ones when its record is read; what is due is settled then too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from shared.config import (
    CountRuleSection,
    DeclineRuleSection,
    ProductSection,
    RuleSection,
    StreakRuleSection,
    When,
)
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
from tests.oracle.count_rule import CountBook
from tests.oracle.customer import Customer, Judgement, Literal, merged
from tests.oracle.decline_rule import DeclineBook
from tests.oracle.facts import Decision, facts_of
from tests.oracle.filter import EVERY, key_of, matches
from tests.oracle.log import Entry
from tests.oracle.streak_rule import StreakBook

Book = AbsenceBook | StreakBook | AnchoredBook | CountBook | DeclineBook


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
    active: dict[str, set[int]] = field(default_factory=dict)
    books: dict[str, Book] = field(default_factory=dict)
    met: dict[str, RuleSection] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)

    def read(self, entry: Entry) -> list[Trigger]:
        """The triggers of the next entry, in order."""
        return list(self._read(entry.message, entry.appended_us))

    def _read(self, message: object, appended_us: int) -> Iterator[Trigger]:
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
        self.customer, self.active, self.books, self.met = None, {}, {}, {}

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
        self.active = {EVERY: set()}
        self._meet_rules(known_us)
        return self.customer

    def _meet_rules(self, now_us: int) -> None:
        """The rules as they are configured now, if they are others than those met before."""
        if self.customer is None or self.met == dict(self.section.rules):
            return
        before, self.met = self.met, dict(self.section.rules)
        looked_at = {EVERY, *(key_of(rule.when) for rule in before.values())}
        wanted = {EVERY, *(key_of(rule.when) for rule in self.met.values())}
        self.active = {key: self.active.get(key, set()) for key in wanted}
        for name, rule in self.met.items():
            if name not in before or before[name] != rule:
                self._meet(name, rule, before.get(name), looked_at, now_us)
        self.books = {name: self.books[name] for name in self.met}

    def _meet(
        self, name: str, rule: RuleSection, was: RuleSection | None, looked_at: set[str], now_us: int
    ) -> None:
        """A rule that is new or changed; `looked_at`: the keys of the rules until now."""
        assert self.customer is not None
        key = key_of(rule.when)
        is_same = was is not None and key_of(was.when) == key
        active, used = self.active[key], self.active[EVERY]
        unwatched = max(used, default=-1) + 1
        known_from = 0 if key in looked_at else unwatched
        book = self.books.get(name)
        if isinstance(rule, StreakRuleSection):
            if isinstance(book, StreakBook):
                book.edit(rule, active, now_us)
                return
            book = StreakBook(name=name, rule=rule, customer=self.customer, active=active)
        elif isinstance(rule, CountRuleSection):
            if rule.counting == "events":
                known_from = unwatched
            if isinstance(book, CountBook):
                is_same = is_same and book.rule.counting == rule.counting
                book.active, book.used = active, used
                book.watched_from = book.watched_from if is_same else known_from
            else:
                is_same = False
                book = CountBook(
                    name=name,
                    rule=rule,
                    customer=self.customer,
                    active=active,
                    used=used,
                    watched_from=known_from,
                )
            self.books[name] = book
            book.edit(rule, now_us, looks_at_the_same=is_same)
            return
        elif isinstance(rule, DeclineRuleSection):
            if isinstance(book, DeclineBook) and is_same:
                book.edit(rule, now_us)
                return
            book = DeclineBook(name=name, rule=rule, customer=self.customer, active=active)
        elif rule.anchor is not None:
            if isinstance(book, AnchoredBook) and (is_same or book.stage != "waiting"):
                book.edit(rule, active, now_us)
                return
            book = AnchoredBook(name=name, rule=rule, customer=self.customer, active=active)
        else:
            if isinstance(book, AbsenceBook) and is_same:
                book.edit(rule, now_us)
                return
            book = AbsenceBook(name=name, rule=rule, customer=self.customer, active=active)
        self.books[name] = book
        book.meet(now_us)
        if isinstance(book, AnchoredBook) and book.contract_on is not None and book.contract_on < known_from:
            book.stage = "over"  # nobody looked whether it had started

    def _ordered(self) -> list[Book]:
        return [self.books[name] for name in self.met]

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
            if isinstance(book, AnchoredBook) or (
                isinstance(book, CountBook) and book.rule.anchor == "contract_started_on"
            ):
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
        whens = {EVERY: When(), **{key_of(rule.when): rule.when for rule in self.met.values()}}
        matching = [key for key, when in whens.items() if matches(when, event)]
        new = {key for key in matching if day not in self.active[key]}
        first = {key for key in new if not self.active[key]}
        for key in new:
            self.active[key].add(day)
        for book in self._ordered():
            if isinstance(book, CountBook):
                book.observe_first_use(decision)
        for book in self._ordered():
            key = key_of(book.rule.when)
            if key not in matching:
                continue
            if isinstance(book, AbsenceBook):
                yield from book.observe(
                    decision, before=before[book.name], is_new=key in new, is_first=key in first
                )
            elif isinstance(book, StreakBook | CountBook):
                yield from book.observe(decision, is_new=key in new)
            elif key in new and isinstance(book, DeclineBook):
                book.observe(decision)
            elif key in new and isinstance(book, AnchoredBook):
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
