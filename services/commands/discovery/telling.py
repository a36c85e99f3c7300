"""What `discover` says on a terminal: who was compared, the table, the curve, the rule. Pure text."""

from collections.abc import Iterator, Sequence
from typing import Final

from services.commands.discovery.cohort import Cohort
from services.commands.discovery.curve import Bar, Week
from services.commands.discovery.findings import Finding, Search
from services.commands.discovery.odds import interval

ROWS_MAX: Final = 12
HEADINGS: Final = (
    "",
    "habit",
    "customers",
    "stayed with",
    "without",
    "difference (95 %)",
    "lift",
    "by chance",
    "held out",
    "verdict",
)
_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def head(cohort: Cohort, search: Search, reading: str) -> list[str]:
    """Who was compared, and how many were left out, each with the reason."""
    stayed = sum(member.stayed for member in cohort.members)
    lines = [
        f"{len(cohort.members):,} customers compared ({stayed:,} stayed; {reading}): "
        f"searched {len(search.searched.members):,}, held out {len(search.held_out.members):,}; "
        f"{len(search.candidates):,} candidates",
        *(
            f"left out: {count:,} {reason}"
            for reason, count in sorted(cohort.left_out.items(), key=_most_first)
        ),
    ]
    if cohort.undated_count:
        lines.append(
            f"careful: of {cohort.undated_count:,} who left nobody says when "
            "(renewal_on, or a column of days); who left within a window did little in it because of that"
        )
    return lines


def table(findings: Sequence[Finding]) -> list[tuple[str, ...]]:
    """The rows under HEADINGS. Every figure but `by chance` is of the customers held out."""
    return [row(number, found) for number, found in enumerate(findings[:ROWS_MAX], 1)]


def plain(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Columns under their headings, for what is no terminal."""
    every = [HEADINGS, *rows]
    widths = [max(len(row[i]) for row in every) for i in range(len(HEADINGS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in every
    ]


def below(findings: Sequence[Finding]) -> list[str]:
    """What was found, in one sentence, where there is nothing to recommend; and what the table leaves out."""
    lines = []
    if len(findings) > ROWS_MAX:
        lines.append(f"{len(findings) - ROWS_MAX:,} more are in --html FILE")
    if not any(found.verdict == "recommended" for found in findings):
        lines.append("nothing to recommend: no habit splits these customers more than chance would")
    return lines


def curve(weeks: Sequence[Week]) -> list[str]:
    """The share active in each week, with the habit and without it, one character a week."""
    if not weeks:
        return []
    sides = ("with", [w.with_habit for w in weeks]), ("without", [w.without_habit for w in weeks])
    return [
        f"Active in each of the first {len(weeks)} weeks",
        *(f"  {name:8} {_spark(shares)}  {_ends(shares)}" for name, shares in sides),
    ]


def bars(found: Sequence[Bar], at_least: int) -> list[str]:
    """How many stayed, by how often they did it; the line is where the habit begins."""
    return ["Stayed, by how often", *_bars(found, at_least)] if found else []


def _bars(found: Sequence[Bar], at_least: int) -> Iterator[str]:
    is_reached = False
    for bar in found:
        if bar.low >= at_least and not is_reached:
            is_reached = True
            yield f"  {'-' * 10} the habit: {at_least} or more"
        span = f"{bar.low}" if bar.low == bar.high else f"{bar.low} to {bar.high}"
        blocks = "▇" * round(24 * bar.stayed_share)
        yield f"  {span:>10}  {bar.stayed_share:5.0%} {blocks} of {bar.customer_count:,}"


def row(number: int, found: Finding) -> tuple[str, ...]:
    """One line of the table; what is known for too few customers shows no figures to be misled by."""
    split = found.split
    if found.strength == 0.0:
        return (str(number), found.habit.words(), f"{split.with_count:,}", *[""] * 6, found.verdict)
    low, high = interval(split)
    return (
        str(number),
        found.habit.words(),
        f"{split.with_count:,} of {split.count:,}",
        f"{split.with_rate:.0%}",
        f"{split.without_rate:.0%}",
        f"{100 * split.difference:+.0f} ({100 * low:+.0f} to {100 * high:+.0f})",
        f"{split.lift:.2f}",
        _chance(found.chance),
        "" if found.held_out_chance is None else _chance(found.held_out_chance),
        found.verdict,
    )


def _chance(chance: float) -> str:
    return "<0.001" if chance < 0.001 else f"{chance:.3f}"


def _spark(shares: Sequence[float]) -> str:
    return "".join(_BLOCKS[min(len(_BLOCKS) - 1, int(share * len(_BLOCKS)))] for share in shares)


def _ends(shares: Sequence[float]) -> str:
    return f"{shares[0]:.0%} to {shares[-1]:.0%}"


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]
