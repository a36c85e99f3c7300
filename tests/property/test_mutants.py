"""The properties must be able to fail: each small wrong in a copy of the core is found by some of them."""

from pathlib import Path

import pytest

from tests.property.mutants import NOT_FOUND, Mutant, copy_of_the_core, is_found, probe

MUTANTS = (
    Mutant(
        "a cutoff at the day start lies a day late",
        "core/calendar",
        "cutoff < day_starts",
        "cutoff <= day_starts",
    ),
    Mutant(
        "a skipped cutoff is not moved to the end of the gap",
        "core/calendar",
        "first = max(start, local - offset)",
        "first = local - offset",
    ),
    Mutant(
        "a day closes at the first of two midnights",
        "core/calendar",
        "            last = min(until, closes - offset)",
        "            last = last or min(until, closes - offset)",
    ),
    Mutant(
        "grace is not given",
        "core/stops",
        "past.cutoff_us(day, rule.cutoff) + rule.grace_us",
        "past.cutoff_us(day, rule.cutoff)",
    ),
    Mutant(
        "a tick at the very deadline settles",
        "core/absence",
        "while deadline_us(rule, past, day) < watermark_us:\n        settled",
        "while deadline_us(rule, past, day) <= watermark_us:\n        settled",
    ),
    Mutant(
        "use at the very cutoff is in time",
        "core/absence",
        "moment.occurred_us < day_cutoff_us",
        "moment.occurred_us <= day_cutoff_us",
    ),
    Mutant(
        "min_streak is one more",
        "core/stops",
        "streak.length < rule.min_streak",
        "streak.length <= rule.min_streak",
    ),
    Mutant(
        "what is taken back is not said",
        "core/stops",
        "notices = [_retracted(rule, past, stop, moment) for stop in gone]",
        "notices: list[Notice] = []",
    ),
    Mutant("a late use takes no day out", "core/absence", "state.missed & ~bit", "state.missed"),
    Mutant("missed_days counts the day of use", "core/stops", " - (episode.missed[-1] == day)", ""),
    Mutant(
        "the last reminder is not waited for",
        "core/absence",
        "any(k > len(episode.missed) for",
        "any(k > len(episode.missed) + 1 for",
    ),
    Mutant(
        "history tells what it settles anew",
        "core/absence",
        "max(state.told_from, state.settled + 1)",
        "state.told_from",
    ),
    Mutant(
        "an episode loses the missed day on which use came back",
        "core/stops",
        "& ((1 << length) - 1)",
        "& ((1 << length - 1) - 1 | 1)",
    ),
    Mutant(
        "a told silence is resumed again and again",
        "core/stops",
        "Stop(stop.day, stop.episode, stop.type, True)",
        "stop",
    ),
    Mutant(
        "a streak needs a day more",
        "core/streaks",
        "else streak.length) >= rule.days",
        "else streak.length) > rule.days",
    ),
    Mutant(
        "a streak is told again",
        "core/streaks",
        "if any(reached.started_on <= told <= reached.last_on for",
        "if any(reached.last_on < told <= reached.last_on for",
    ),
    Mutant(
        "an excused day breaks a streak",
        "core/past",
        "in (*self.excused, *self.cut_short)",
        "in self.cut_short",
    ),
    Mutant(
        "an excused day is expected",
        "core/past",
        "day not in self.excused and day not in self.cut_short",
        "day not in self.cut_short",
    ),
    Mutant(
        "an import tells stops of the past",
        "core/kinds",
        "    if not seen.backfill:\n        return seen.day",
        "    if seen:\n        return seen.day",
    ),
    Mutant(
        "a change of zone takes effect at once",
        "core/profiles",
        "from_us = closes_us(now.settings.zone, now.settings.day_starts, day)",
        "from_us = received_us",
    ),
    Mutant(
        "an event is observed before what is due is settled",
        "engine",
        "        return state, []\n    return kinds.settle(state, product, watermark_us, excused)",
        "        return state, []\n    return state, []",
    ),
    Mutant(
        "a rule added later tells the past",
        "core/absence",
        "    while deadline_us(rule, past, day) < watermark_us:\n        day += 1",
        "    while False:\n        day += 1",
    ),
    Mutant(
        "a customer is due when its last rule is",
        "core/kinds",
        "min(dues, default=None)",
        "max(dues, default=None)",
    ),
    Mutant("an event of the very oldest age is refused", "engine", "latest < oldest", "latest <= oldest"),
    Mutant("five minutes ahead is too far", "engine", "earliest > appended_us", "earliest >= appended_us"),
    Mutant("the id forgets its day", "core/wording", "day=_iso(day)", 'day=""'),
    Mutant(
        "a contract's window is a day longer",
        "core/never_started",
        "rule.within_days - 1",
        "rule.within_days",
    ),
    Mutant(
        "a closure ends a day early",
        "core/expected",
        "days &= ~_clip(first, last, base)",
        "days &= ~_clip(first, last - 1, base)",
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name.replace(" ", "-") for mutant in MUTANTS])
def test_a_small_wrong_in_the_core_is_found(mutant: Mutant, tmp_path: Path) -> None:
    assert is_found(mutant, tmp_path, "drawn")


def test_nothing_is_found_in_the_core_as_it_is(tmp_path: Path) -> None:
    assert probe(copy_of_the_core(tmp_path), "drawn") == NOT_FOUND
