"""The rule `absence`: each day judged once, and after each change the difference to what was told.

Readings where the pages leave it open:

- Days are judged from the day of the first event *read* that matches the rule; a late event before it
  adds an active day, but what lay between was never judged and is not judged afterwards.
- A backfilled event on a day that is active already, and not missed, changes nothing.
- A backfilled event before settled days, no stop of which is told, makes them settled anew; none of
  them may be told afterwards (`told_from` is raised to where settling had come).
- A use on a day not settled yet ends episodes that were told; it tells no stop itself.
- A told stop is older than the late window once its end was told and a day is settled that lies more
  than the window and two days after that end; then it is done with.
- A rule added later is met when the customer is next touched; what the watermark of that moment has
  passed is settled in silence.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import time, timedelta

from shared.config import AbsenceRuleSection
from shared.triggers import RESUMED, Trigger
from tests.oracle.customer import Customer, Weighed
from tests.oracle.facts import Decision, Fact
from tests.oracle.stops import Episode, Resumed, Retraction, Stop, Stopped, Told, episodes

MICROSECOND = timedelta(microseconds=1)


def minutes(cutoff: time | None) -> int | None:
    return None if cutoff is None else cutoff.hour * 60 + cutoff.minute


@dataclass(kw_only=True)
class AbsenceBook:
    """What is kept of one customer for one absence rule without an anchor."""

    name: str
    rule: AbsenceRuleSection
    customer: Customer
    active: set[int]
    missed: set[int] = field(default_factory=set)
    next_day: int | None = None
    told_from: int = 0
    told: Told = field(default_factory=Told)

    def meet(self, watermark_us: int) -> None:
        """The rule is new: the stored days are judged, and told from the first day not settled yet."""
        if self.active:
            self.next_day = min(self.active)
            while self._is_due(watermark_us):
                self._judge()
            self.told_from = self.next_day

    def edit(self, rule: AbsenceRuleSection, watermark_us: int) -> None:
        """The rule was changed: no stop or reminder of a day gone by is told any more."""
        self.rule = rule
        if self.next_day is None:
            return
        first = min(self.active)
        while self._deadline_us(first) < watermark_us:
            first += 1
        self.told_from = max(self.told_from, self.next_day, first)

    def settle(self, watermark_us: int) -> Iterator[Trigger]:
        """Day by day in order, each day once."""
        settled = False
        while self._is_due(watermark_us):
            before = self._episodes()
            day = self._judge()
            if day in self.missed:
                yield from self._tell(day, before, Decision(at_us=watermark_us))
            settled = True
        if settled and self.next_day is not None:
            window = self.customer.section.late_window.days
            self.told.forget(self.active, before=self.next_day - 1 - window - 2)

    def excuse(self, day: int, watermark_us: int) -> Iterator[Trigger]:
        """An excused day is not missed."""
        if day in self.missed:
            before = self._episodes()
            self.missed.discard(day)
            yield from self._tell(day, before, Decision(at_us=watermark_us))

    def observe(
        self, decision: Decision, *, before: list[Episode], is_new: bool, is_first: bool
    ) -> Iterator[Trigger]:
        """A use on `decision.day`, which is among the active days now; `before`: the episodes until then."""
        assert decision.day is not None
        day = decision.day
        if is_first:
            self._start(day, decision)
        assert self.next_day is not None
        is_touched = any(s.day >= day or s.episode not in self.told.resumed for s in self.told.stops)
        if decision.is_backfill and day < self.next_day and not is_touched:
            in_time = day in self.missed and decision.in_time_for(self._cutoff_us(day))
            if not is_new and not in_time:
                return
            if any(self.customer.open_by(self.customer.calendar_on(d), d) for d in range(day, self.next_day)):
                self._settle_anew(day)
        elif day in self.missed and decision.in_time_for(self._cutoff_us(day)):
            self.missed.discard(day)
        elif not is_new:
            return
        yield from self._tell(day, before, decision)

    def episodes_now(self) -> list[Episode]:
        return self._episodes()

    # The days.

    def _cutoff_us(self, day: int) -> int:
        return self.customer.timeline.cutoff_us(day, minutes(self.rule.cutoff))

    def _is_due(self, watermark_us: int) -> bool:
        if self.next_day is None:
            return False
        return self._deadline_us(self.next_day) < watermark_us

    def _deadline_us(self, day: int) -> int:
        return self._cutoff_us(day) + self.rule.grace // MICROSECOND

    def _judge(self) -> int:
        """The next day is missed if it is expected and not active."""
        assert self.next_day is not None
        day = self.next_day
        self.next_day += 1
        is_expected = self.customer.expected(day, judged_on=day, active=self.active)
        if day not in self.active and day > min(self.active) and is_expected:
            self.missed.add(day)
        return day

    def _start(self, day: int, decision: Decision) -> None:
        """The first use: days are judged from it on; of history none is told whose cutoff had passed."""
        self.next_day = self.told_from = day
        if decision.is_backfill:
            self.told_from = self.customer.timeline.day_of(decision.at_us) - 3
            while self._cutoff_us(self.told_from) < decision.at_us:
                self.told_from += 1

    def _settle_anew(self, day: int) -> None:
        assert self.next_day is not None
        self.told_from = max(self.told_from, self.next_day)
        self.missed = {missed for missed in self.missed if missed < day}
        self.next_day = day

    def _episodes(self) -> list[Episode]:
        return episodes(self.active, self.missed)

    # What is told.

    def _tell(self, around: int, before: list[Episode], decision: Decision) -> Iterator[Trigger]:
        now = self._episodes()
        retracted = set()
        for change in self.told.retract(now):
            retracted.add(change.stop.episode)
            yield self._trigger(change, decision)
        only_ends = decision.day is not None and decision.day >= (self.next_day or 0)
        moving = {day for e in before if e.start in retracted for day in e.missed}

        def may_tell(day: int) -> bool:
            return day in moving or (day >= self.told_from and not decision.is_backfill and not only_ends)

        def may_remind(day: int) -> bool:
            return day in moving or day >= self.told_from

        last_use = max((a for a in self.active if a < around), default=0)
        for episode in now:
            if max(episode.missed) > last_use:
                for told in self.told.tell(
                    episode,
                    type=self.rule.emit,
                    stop_on=self._stop_on(episode),
                    again=self.rule.again_after_days,
                    may_tell=may_tell,
                    may_remind=may_remind,
                ):
                    yield self._trigger(told, decision)

    def _stop_on(self, episode: Episode) -> int | None:
        """The first missed day, or with `expect: history` the first on which they surprise together."""
        streak = self.customer.streak_before(episode.start, active=self.active)
        if streak.length < self.rule.min_streak:
            return None
        if self.rule.expect == "calendar":
            return episode.start
        for k, day in enumerate(episode.missed, 1):
            weighed = self._weighed(episode, k)
            enough = weighed.enough if self.rule.min_surprise is None else self.rule.min_surprise
            if (weighed.surprise or 0) >= enough:
                return day
        return None

    def _weighed(self, episode: Episode, k: int) -> Weighed:
        missed = [self.customer.missed(day) for day in episode.missed[:k]]
        return self.customer.judgement.weigh(self.active, missed)

    def _trigger(self, change: Retraction | Stopped | Resumed, decision: Decision) -> Trigger:
        if isinstance(change, Retraction):
            return self._retraction(change.stop, decision)
        if isinstance(change, Stopped):
            return self._stopped(change.stop, change.episode, decision)
        return self._resumed(change.stop, change.episode, decision)

    def _fact(self, kind: str, day: int, at_us: int, decision: Decision) -> Fact:
        return Fact(
            customer=self.customer,
            rule=self.name,
            type=kind,
            day=day,
            at_us=at_us,
            decided_us=decision.at_us,
        )

    def _stopped(self, stop: Stop, episode: Episode, decision: Decision) -> Trigger:
        cutoff_us = self._cutoff_us(stop.day)
        k = episode.missed.index(stop.day) + 1
        weighed = self._weighed(episode, k)
        return self._fact(self.rule.emit, stop.day, cutoff_us, decision).told(
            id_day=stop.day,
            id_episode=stop.episode,
            streak=self.customer.streak_before(stop.episode, active=self.active),
            cutoff_us=cutoff_us,
            episode_day=k,
            surprise=None if weighed.surprise is None else round(weighed.surprise, 3),
            reasons=weighed.reasons,
        )

    def _retraction(self, stop: Stop, decision: Decision) -> Trigger:
        fact = self._fact(f"{stop.type}.retracted", stop.day, decision.at_us, decision)
        return fact.told(
            id_day=stop.day,
            id_episode=stop.episode,
            streak=self.customer.streak_before(stop.day + 1, active=self.active),
            cutoff_us=self._cutoff_us(stop.day),
            stopped_id=fact.id_of(stop.type, stop.day, stop.episode),
        )

    def _resumed(self, stop: Stop, episode: Episode, decision: Decision) -> Trigger:
        day = episode.ended_on
        assert day is not None
        fact = self._fact(RESUMED, day, decision.use_us(self.customer, day), decision)
        return fact.told(
            id_day=stop.day,
            id_episode=episode.start,
            streak=self.customer.streak(day, judged_on=day, active=self.active),
            missed_days=episode.missed_before_use,
            stopped_id=fact.id_of(stop.type, stop.day, stop.episode),
        )
