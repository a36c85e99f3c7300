"""Would the oracle notice, of counts, declines, properties and edits? Small wrongs in a copy of the core."""

from pathlib import Path

import pytest

from tests.property.mutants import NOT_FOUND, Mutant, copy_of_the_core, is_found, probe

MUTANTS = (
    Mutant(
        "a count is told an event too late",
        "core/counts",
        "if found < rule.at_least or not _is_in_window",
        "if found <= rule.at_least or not _is_in_window",
    ),
    Mutant(
        "an event counts as often as it is sent",
        "core/counts",
        "if any(known == id_hash for _, known in counted):",
        "if not counted and any(known == id_hash for _, known in counted):",
    ),
    Mutant(
        "a window is a day longer",
        "core/counts",
        "state.anchor_on + rule.within_days - 1",
        "state.anchor_on + rule.within_days",
    ),
    Mutant(
        "history tells what it reached",
        "core/counts",
        "[] if silently else [_reached(rule, past, day, moment)]",
        "[_reached(rule, past, day, moment)]",
    ),
    Mutant(
        "a window that had closed before it was known is missed",
        "core/counts",
        "if _closes_us(rule, state, past) < state.known_us:",
        "if not rule:",
    ),
    Mutant(
        "a count forgets events from before its contract was told",
        "core/counts",
        "    if not rule.by_contract:\n        kept =",
        "    if rule:\n        kept =",
    ),
    Mutant(
        "a count that is over goes on",
        "core/counts",
        '    if state.stage != "waiting":\n        return state, []\n    if not rule.of_days',
        '    if state.stage == "over":\n        return state, []\n    if not rule.of_days',
    ),
    Mutant(
        "the first active day is that of the rule",
        "core/kinds",
        "counts.anchored(rule, count, past, first_active_day(state), known_us)",
        "counts.anchored(rule, count, past, past.base + (past.active & -past.active).bit_length(), known_us)",
    ),
    Mutant(
        "a late event makes the customer known later",
        "core/kinds",
        "known_us = decided_us if backfill or count.anchor_on is None else count.known_us",
        "known_us = decided_us",
    ),
    Mutant("a drop has to be exceeded", "core/declines", "whole <= mean * kept", "whole < mean * kept"),
    Mutant(
        "a low is told every day",
        "core/declines",
        "if is_down and not was_down and settled",
        "if is_down and settled",
    ),
    Mutant(
        "a fall of the past is told",
        "core/declines",
        "and not was_down and settled >= state.told_from:",
        "and not was_down:",
    ),
    Mutant(
        "a customer wakes a day after the fall",
        "core/declines",
        "            return silent\n",
        "            return silent + 1\n",
    ),
    Mutant(
        "the days before reach into the last ones",
        "core/declines",
        "found & (1 << recent) - 1, rule.baseline_days",
        "found >> 1, rule.baseline_days",
    ),
    Mutant(
        "a closed day counts as one without use",
        "core/past",
        "found = self._without_exceptions(expected, last) | self.active",
        "found = days.span(0, length - 1) | expected | self.active",
    ),
    Mutant(
        "days pass unjudged before a late use",
        "core/kinds",
        "            and declines.is_behind(",
        "            and not rule\n            and declines.is_behind(",
    ),
    Mutant(
        "properties are not looked at",
        "core/filters",
        "key not in asking or all_present_and_hold(_where_of(key), properties)",
        "key",
    ),
    Mutant(
        "an edited stop is told of days gone by",
        "core/absence",
        "told_from = max(state.told_from, state.settled + 1, first_unsettled(rule, past, watermark_us))",
        "told_from = state.told_from",
    ),
    Mutant(
        "who is down already under a changed rule is told",
        "core/declines",
        "was_down or is_down_on(rule, past, settled)",
        "was_down",
    ),
    Mutant(
        "a rule that looks at something else goes on as before",
        "core/adoption",
        "return key_of_look(rule) in self.state.rule_keys",
        "return bool(rule)",
    ),
    Mutant(
        "what nobody looked at counts as nothing",
        "core/adoption",
        "return self.state.base + days.highest(active) + 1 if active else 0",
        "return 0",
    ),
    Mutant(
        "what a changed count has reached by now is told",
        "core/counts",
        "or count(rule, state, past) < rule.at_least:\n        return state\n    return _at_stage",
        "or rule:\n        return state\n    return _at_stage",
    ),
    Mutant(
        "a stop is taken back under its rule's new name",
        "core/stops",
        'type=f"{stop.type}.retracted"',
        'type=f"{rule.emit}.retracted"',
    ),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name.replace(" ", "-") for mutant in MUTANTS])
def test_a_small_wrong_in_a_rule_is_found(mutant: Mutant, tmp_path: Path) -> None:
    assert is_found(mutant, tmp_path, "rules")


def test_nothing_is_found_in_the_rules_as_they_are(tmp_path: Path) -> None:
    assert probe(copy_of_the_core(tmp_path), "rules") == NOT_FOUND
