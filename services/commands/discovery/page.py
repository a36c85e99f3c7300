"""The findings as a page with charts, to be passed on to whoever decides. Pure text."""

from collections.abc import Sequence
from html import escape

from services.commands import charts
from services.commands.discovery.curve import Bar, Week
from services.commands.discovery.findings import Finding
from services.commands.discovery.telling import HEADINGS, row


def page(
    head: Sequence[str],
    findings: Sequence[Finding],
    chosen: Finding | None,
    weeks: Sequence[Week],
    bars: Sequence[Bar],
    rule: str,
) -> str:
    """Who was compared, the chosen habit with both charts and its rule, and everything that was tried."""
    parts = ["<h1>Early habits</h1>", *(f'<p class="soft">{escape(line)}</p>' for line in head)]
    if chosen is None:
        parts.append("<p>No habit splits these customers more than chance would: nothing to recommend.</p>")
    else:
        parts += _chosen(chosen, weeks, bars, rule)
    parts.append("<h2>Everything tried, the best of each kind</h2>")
    rows = [row(number, found) for number, found in enumerate(findings, 1)]
    parts.append(charts.table(HEADINGS, rows))
    parts.append(
        '<p class="soft">Searched on one half of the customers; all figures but "by chance" are of the other '
        "half. By chance: how often the best of everything tried looks as strong where there is nothing. "
        "A habit goes with staying; whether it makes customers stay, only a trial tells.</p>"
    )
    return charts.page("Early habits", parts)


def _chosen(chosen: Finding, weeks: Sequence[Week], bars: Sequence[Bar], rule: str) -> list[str]:
    habit, split = chosen.habit, chosen.split
    parts = [
        f"<h2>{escape(habit.words())}</h2>",
        charts.facts(
            (
                ("stayed with it", f"{split.with_rate:.0%}"),
                ("without it", f"{split.without_rate:.0%}"),
                ("customers held out", f"{split.with_count:,} of {split.count:,}"),
                ("verdict", chosen.verdict),
            )
        ),
    ]
    if bars:
        divide = next((n for n, bar in enumerate(bars) if bar.low >= habit.at_least), len(bars))
        named = [(_span(bar), bar.stayed_share) for bar in bars]
        unit = "active days" if habit.counting == "active_days" else "events"
        label = (
            f"Share of all customers compared that stayed, by {unit} in their first {habit.within_days} days"
        )
        parts.append(
            charts.bars(named, label=label, divide=(divide, f"{habit.at_least}+"), shown="{:.0%}".format)
        )
    if weeks:
        parts.append(
            charts.lines(
                [week.with_habit for week in weeks],
                [week.without_habit for week in weeks],
                names=("with it", "without it"),
                under=[str(week.number) for week in weeks],
                label="Share of all customers compared that were active in each week since they began",
            )
        )
    return [*parts, "<h2>The rule</h2>", f"<pre>{escape(rule)}</pre>"]


def _span(bar: Bar) -> str:
    return str(bar.low) if bar.low == bar.high else f"{bar.low}-{bar.high}"
