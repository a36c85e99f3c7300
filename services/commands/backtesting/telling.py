"""What helps to decide, as lines on a terminal: who gets how many calls, other settings, outcomes. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final
from unicodedata import east_asian_width

import msgspec

from services.commands.backtesting import settings
from services.commands.backtesting.foresight import Foresight, Warned
from services.commands.backtesting.load import DayKind, Load
from services.commands.backtesting.sweep import Setting, Swept

LOADS_MAX: Final = 8
_BAR_CHARS: Final = 24


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """What other settings of one rule would do: those that differ in one thing, and every combination."""

    rule: str
    own: Setting
    around: tuple[Swept, ...]
    grid: tuple[Swept, ...]


class Aids(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a backtest has to say beside its calls and stops."""

    loads: Sequence[Load]
    kinds: Sequence[DayKind]
    sweeps: Sequence[Sweep] = ()
    foresight: Foresight | None = None
    outcome_reading: str = ""


def loads_lines(loads: Sequence[Load]) -> list[str]:
    """Each CSM's calls, by the day on which they go out."""
    if not loads:
        return []
    rows = [(load.name, _load(load)) for load in loads[:LOADS_MAX]]
    rest = loads[LOADS_MAX:]
    if rest:
        rows.append((f"{len(rest):,} more", f"{sum(load.call_count for load in rest):,}"))
    return listed("Calls by CSM", rows)


def kinds_lines(kinds: Sequence[DayKind]) -> list[str]:
    """Calls by kind of day; a kind with more calls than its share of days is worth a look."""
    total = sum(kind.call_count for kind in kinds)
    if not total or len(kinds) < 2:
        return []
    return listed(
        "Calls by kind of the missed day, and how many of all days are so",
        (
            (kind.name, f"{kind.call_count:>6,}  {kind.call_count / total:6.1%} of {kind.share_of_days:.1%}")
            for kind in kinds
        ),
    )


def sweep_lines(sweep: Sweep) -> list[str]:
    """The settings that differ from the present one in one thing."""
    rows = [(settings.change(one.setting, sweep.own), settings.figures(one)) for one in sweep.around]
    heading = "".join(f"{cell:>9}" for cell in settings.HEADINGS[1:])
    return listed(
        f"What other settings of {sweep.rule} would do (a customer and year; true stops, by day of use)",
        [("", heading), *((name, "".join(f"{cell:>9}" for cell in cells)) for name, cells in rows)],
    )


def foresight_lines(found: Foresight, reading: str) -> list[str]:
    """Whether stops foretold who left."""
    if not found.customer_count:
        return [f"Stops and outcomes: no outcome has 90 days before it in the days replayed ({reading})"]
    lines = [
        f"Stops and outcomes ({reading}): {found.left_count:,} of {found.customer_count:,} customers left "
        f"({found.left_count / found.customer_count:.0%})",
        *(f"  {sign_words(sign, found)}" for sign in found.signs),
    ]
    if found.outside_count:
        lines.append(f"  left out: {found.outside_count:,} outcomes without 90 days replayed before them")
    if found.undated_count:
        lines.append(
            f"  careful: of {found.undated_count:,} who left nobody says when; taken as the last day"
        )
    return lines


def sign_words(sign: Warned, found: Foresight) -> str:
    """`a stop in the 90 days before: 40 customers, 75 % of them left; 60 % of all who left; lead ...`"""
    caught = sign.left_count / found.left_count if found.left_count else 0.0
    said = (
        f"{sign.sign}: {sign.customer_count:,} customers, {sign.precision:.0%} of them left; "
        f"{caught:.0%} of all who left"
    )
    quartiles = sign.lead_quartiles
    if quartiles is None:
        return said
    low, middle, high = quartiles
    return f"{said}, {middle:.0f} days before (half of them {low:.0f} to {high:.0f})"


def bars(title: str, rows: Sequence[tuple[str, int]]) -> list[str]:
    """Counts with a bar each; nothing where all are 0."""
    most = max((count for _, count in rows), default=0)
    if not most:
        return []
    return listed(
        title,
        ((name, f"{count:>6,} {'▇' * round(_BAR_CHARS * count / most)}".rstrip()) for name, count in rows),
    )


def listed(title: str, rows: Iterable[tuple[str, object]]) -> list[str]:
    """A title and two columns under it."""
    shown = list(rows)
    width = max((_width(name) for name, _ in shown), default=0)
    return (
        [title, *(f"  {name}{' ' * (width - _width(name))}  {said}" for name, said in shown)] if shown else []
    )


def _load(load: Load) -> str:
    busiest_on, busiest_count = load.busiest
    said = (
        f"{load.call_count:>6,}  on {len(load.by_day)} days, half of them {load.median_count:g} or fewer, "
        f"at most {busiest_count} ({busiest_on})"
    )
    if load.daily_max is None:
        return said
    return f"{said}; over {load.daily_max} a day on {load.over_days}, by {load.over_count}"


def _width(text: str) -> int:
    """Columns on a terminal, where Japanese characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
