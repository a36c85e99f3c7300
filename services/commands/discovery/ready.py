"""A habit as a rule, ready to be pasted into the configuration. Pure."""

import json

from services.commands.discovery.findings import Finding
from services.commands.discovery.habits import EVERY_EVENT, Anchor
from services.commands.discovery.odds import interval


def rule(found: Finding, anchor: Anchor) -> str:
    """YAML as it stands under a product; what the rule rests on is said beside it."""
    habit, split = found.habit, found.split
    low, high = interval(split)
    good = found.strength > 0
    name = "early-habit" if good else "early-warning"
    lines = [
        "rules:",
        f"  # Of {split.count:,} customers held out {split.with_rate:.0%} of those who did it stayed,",
        f"  # {split.without_rate:.0%} of the others: {100 * low:+.0f} to {100 * high:+.0f} points, 95 %.",
        f"  {name}:",
        "    kind: count",
    ]
    if habit.event != EVERY_EVENT:
        lines.append(f"    when: {{event: {json.dumps(habit.event, ensure_ascii=False)}}}")
    if habit.counting == "active_days":
        lines.append("    counting: active_days")
    lines += [
        f"    at_least: {habit.at_least}",
        f"    within_days: {habit.within_days}",
        f"    anchor: {anchor}",
        f"    emit: {'habit.formed' if good else 'habit.warning'}",
    ]
    return "\n".join(lines)
