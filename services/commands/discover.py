"""`discover`: which early habits split the customers who stayed from those who left, and their rule."""

import random
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from services.commands.outputs import opened
from services.commands.surroundings import ConfigOption, ProductOption

if TYPE_CHECKING:
    from services.commands.discovery.cohort import Cohort, Uses
    from services.commands.discovery.findings import Finding, Search
    from services.commands.discovery.habits import Anchor
    from services.commands.outcomes import Outcomes
    from services.commands.tables import Rejections
    from services.commands.usage_rows import Use
    from services.evaluator.core.rules import Product
    from shared.events import Profile

SHUFFLES_DEFAULT = 1_000


def discover(
    events: Annotated[str, typer.Argument(metavar="EVENTS", help="CSV or NDJSON, also .gz, or - .")],
    customers: Annotated[str, typer.Option(metavar="FILE", help="Customers as CSV, with their outcome.")],
    outcome: Annotated[
        str,
        typer.Option(metavar="COLUMN", help="Two values, or the day on which a customer left (else empty)."),
    ],
    stayed: Annotated[
        str | None, typer.Option(metavar="VALUE", help="Which of the two values means staying.")
    ] = None,
    anchor: Annotated[
        str,
        typer.Option(metavar="ANCHOR", help="first_active_on or contract_started_on: what days count from."),
    ] = "first_active_on",
    number: Annotated[
        int | None, typer.Option("--rule", metavar="N", min=1, help="Of which row to write the rule.")
    ] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write a page with charts.")] = None,
    shuffles: Annotated[
        int, typer.Option(metavar="N", min=100, max=100_000, help="Rounds of drawing outcomes by lot.")
    ] = SHUFFLES_DEFAULT,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the halves and of the lots.")] = 1,
    config: ConfigOption = None,
    product: ProductOption = None,
) -> None:
    """Find the early habits of customers who stay.

    Tries how often, and on how many days, customers used what in their first days; says which of that
    splits those who stayed from those who left, beyond chance, and writes the rule. Changes nothing.
    """
    from services.commands.discovery.cohort import gather
    from services.commands.discovery.findings import conclude, look
    from services.commands.surroundings import chosen_product, read_config, read_settings
    from services.commands.tables import Rejections
    from services.evaluator.core.rules import compile_product

    from_day = _anchor(anchor)
    found = read_config(config or read_settings().config_path)
    product_id = chosen_product(found, product)
    compiled = compile_product(product_id, found.products[product_id])
    rejected = Rejections(lambda line: print(line, file=sys.stderr))
    with opened(html) as html_file:
        profiles, outcomes = _read_customers(customers, outcome, stayed, rejected)
        uses = _read_uses(events, profiles, compiled, rejected)
        cohort = gather(uses, profiles, outcomes.of, anchor=from_day)
        search = look(cohort, seed)
        if rejected.count:
            print(f"left out: {rejected.summary()} lines, told above", file=sys.stderr)
        findings = conclude(search, _by_chance(search, seed, shuffles))
        _tell(cohort, search, findings, outcomes, from_day, number=number, html=html_file)


def _anchor(name: str) -> "Anchor":
    if name == "contract_started_on":
        return "contract_started_on"
    if name == "first_active_on":
        return "first_active_on"
    raise typer.BadParameter(
        f"{name} is neither first_active_on nor contract_started_on", param_hint="--anchor"
    )


def _read_customers(
    name: str, column: str, stayed: str | None, rejected: "Rejections"
) -> tuple[Mapping[str, "Profile"], "Outcomes"]:
    from services.commands import customer_rows
    from services.commands.outcomes import read_outcomes
    from services.commands.tables import Table
    from shared.errors import InvalidInput

    profiles = dict(customer_rows.customers(Table(name), rejected))
    try:
        return profiles, read_outcomes(profiles, column, stayed)
    except InvalidInput as error:
        raise typer.BadParameter(error.message, param_hint="--outcome") from error


def _read_uses(
    name: str, profiles: Mapping[str, "Profile"], product: "Product", rejected: "Rejections"
) -> Mapping[str, "Uses"]:
    """Distinct events by customer, name and usage day; every event counts under `*` as well."""
    from services.commands import usage_rows
    from services.commands.discovery.habits import EVERY_EVENT
    from services.commands.progress import progress
    from services.commands.tables import Table
    from services.evaluator.core.calendar import day_of
    from services.evaluator.core.rules import settings_of
    from shared.clock import SystemClock
    from shared.events import Profile

    settings = {id: settings_of(profile, product) for id, profile in profiles.items()}
    usual = settings_of(Profile(), product)
    found: defaultdict[str, defaultdict[str, defaultdict[int, int]]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(int))
    )
    seen: defaultdict[str, set[str]] = defaultdict(set)
    table = Table(name)
    with progress(f"reading {Path(name).name}", table.size) as bar:
        for use in usage_rows.uses(table, rejected, product=product.id, now_us=SystemClock().now_us()):
            identity = use.event_id or _content(use)
            if identity in seen[use.customer_id]:
                continue
            seen[use.customer_id].add(identity)
            day = use.occurred_on
            if use.occurred_us is not None:
                own = settings.get(use.customer_id, usual)
                day = day_of(own.zone, own.day_starts, use.occurred_us)
            assert day is not None  # a row has an instant or a day, else it was rejected
            for event in {use.event, EVERY_EVENT}:
                found[use.customer_id][event][day] += 1
            if use.line % 10_000 == 0:
                bar.at(table.position)
    if not found:
        raise typer.BadParameter(f"there is no use in {name}", param_hint="EVENTS")
    return found


def _content(use: "Use") -> str:
    """Of events without an id, two that say the same are one."""
    return repr(
        (use.occurred_us, use.occurred_on, use.event, use.user_id, sorted(use.properties.items(), key=str))
    )


def _by_chance(search: "Search", seed: int, shuffles: int) -> list[float]:
    """The strongest score of each round of lots."""
    from services.commands.discovery.search import best_by_chance
    from services.commands.progress import progress

    found = []
    shuffle = random.Random(f"lots:{seed}").shuffle
    with progress("drawing lots", shuffles) as bar:
        for strongest in best_by_chance(search.searched, search.candidates, shuffle, shuffles):
            found.append(strongest)
            bar.at(len(found))
    return found


def _tell(
    cohort: "Cohort",
    search: "Search",
    findings: Sequence["Finding"],
    outcomes: "Outcomes",
    anchor: "Anchor",
    *,
    number: int | None,
    html: TextIO | None,
) -> None:
    from services.commands.discovery import curve, page, ready, telling

    head = telling.head(cohort, search, outcomes.reading)
    chosen = _chosen(findings, number)
    weeks = curve.weeks(cohort.members, chosen.habit, cohort.last_on) if chosen else []
    bars = curve.bars(cohort.members, chosen.habit) if chosen else []
    rule = ready.rule(chosen, anchor) if chosen else ""
    print(*head, "", sep="\n")
    _print_table(telling.table(findings))
    print(*telling.below(findings), sep="\n")
    if chosen:
        drawn = [*telling.bars(bars, chosen.habit.at_least), *telling.curve(weeks)]
        print(f"{chosen.habit.words()}:", *drawn, "", rule, sep="\n")
    if html is not None:
        html.write(page.page(head, findings, chosen, weeks, bars, rule))


def _chosen(findings: Sequence["Finding"], number: int | None) -> "Finding | None":
    """The row asked for; else the first that is recommended."""
    if number is None:
        return next((found for found in findings if found.verdict == "recommended"), None)
    if number > len(findings) or findings[number - 1].strength == 0.0:
        raise typer.BadParameter(f"there is no row {number} with a habit to write", param_hint="--rule")
    return findings[number - 1]


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    from services.commands.discovery.telling import HEADINGS, plain

    if not sys.stdout.isatty():
        print(*plain(rows), sep="\n")
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*HEADINGS, box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for row in rows:
        style = {"recommended": "bold", "too few": "dim", "may be chance": "dim"}.get(row[-1])
        # As Text, for the name of an event may look like markup.
        shown.add_row(*map(Text, row), style=style)
    Console().print(shown)
