"""`backtest`: replays history through the core as if live, and tells what would have been called about."""

import sys
from collections.abc import Iterable
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Annotated, TextIO

import msgspec
import typer

from services.commands.outputs import opened
from services.commands.surroundings import ConfigOption, ProductOption

if TYPE_CHECKING:
    from services.commands.backtesting.telling import Aids, Sweep
    from services.commands.histories import History, Replay
    from services.commands.outcomes import Outcomes
    from services.evaluator.core.rules import AbsenceRule, Product
    from shared.config import Config
    from shared.triggers import Trigger

CUTS_SEED = 1


def backtest(
    events: Annotated[str, typer.Argument(metavar="EVENTS", help="CSV or NDJSON, also .gz, or - .")],
    customers: Annotated[str | None, typer.Option(metavar="FILE", help="Customers as CSV.")] = None,
    config: ConfigOption = None,
    product: ProductOption = None,
    from_on: Annotated[
        datetime | None,
        typer.Option("--from", metavar="DATE", formats=["%Y-%m-%d"], help="First usage day told about."),
    ] = None,
    to_on: Annotated[
        datetime | None,
        typer.Option("--to", metavar="DATE", formats=["%Y-%m-%d"], help="Last usage day, judged to its end."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Each trigger as one JSON line; - for stdout.")
    ] = None,
    calls: Annotated[
        str | None, typer.Option(metavar="FILE", help="Each call task as one JSON line; - for stdout.")
    ] = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="What other cutoffs, min_streak and min_surprise would do.")
    ] = False,
    outcome: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Of the customers file: who left, to hold the stops against."),
    ] = None,
    stayed: Annotated[
        str | None, typer.Option(metavar="VALUE", help="Which of the outcome's two values means staying.")
    ] = None,
    html: Annotated[str | None, typer.Option(metavar="FILE", help="Write a page with charts.")] = None,
) -> None:
    """See the calls that history would have made.

    It is replayed as if live, through the same core. Changes nothing, sends nothing.

    What lies before --from is the customers' history: learned from, not told about.
    """
    from services.commands.histories import read_history, replay_history
    from services.commands.summary import summarize
    from services.commands.surroundings import chosen_product, read_config, read_settings
    from services.commands.tables import Rejections
    from services.evaluator.core.rules import compile_product

    found = read_config(config or read_settings().config_path)
    product_id = chosen_product(found, product)
    compiled = compile_product(product_id, found.products[product_id])
    with opened(out) as out_file, opened(calls) as calls_file, opened(html) as html_file:
        rejected = Rejections(lambda line: print(line, file=sys.stderr))
        history = read_history(events, customers, compiled, rejected)
        outcomes = _outcomes(history, outcome, stayed)
        replay = replay_history(
            history,
            compiled,
            found,
            first_on=from_on.date() if from_on else None,
            last_on=to_on.date() if to_on else None,
        )
        aids = _aids(history, replay, found, compiled, outcomes, is_swept=sweep)
        _write(out_file, (_trigger_line(trigger) for trigger in replay.triggers))
        _write(calls_file, (msgspec.json.encode(call.line()) for call in replay.calls))
        if html_file is not None:
            html_file.write(_page(history, replay, found, product_id, aids, rejected.summary()))
    summary_to = sys.stderr if "-" in (out, calls, html) else sys.stdout
    print(summarize(history, replay, found, product_id, aids, left_out=rejected.summary()), file=summary_to)


def _outcomes(history: "History", column: str | None, stayed: str | None) -> "Outcomes | None":
    from services.commands.outcomes import read_outcomes
    from shared.errors import InvalidInput

    if column is None:
        return None
    try:
        return read_outcomes(history.profiles, column, stayed)
    except InvalidInput as error:
        raise typer.BadParameter(error.message, param_hint="--outcome") from error


def _aids(
    history: "History",
    replay: "Replay",
    config: "Config",
    product: "Product",
    outcomes: "Outcomes | None",
    *,
    is_swept: bool,
) -> "Aids":
    from services.commands.backtesting.foresight import foresee, silences
    from services.commands.backtesting.load import day_kinds, loads
    from services.commands.backtesting.telling import Aids
    from services.commands.summary import endings
    from services.evaluator.core.rules import AbsenceRule

    foresight = None
    if outcomes is not None:
        stops, _ = endings(replay, config, product.id)
        found = silences(stops.values(), replay.triggers)
        foresight = foresee(found, outcomes.of, replay.first_on, replay.last_on)
    rules = [rule for rule in product.rules if isinstance(rule, AbsenceRule)] if is_swept else []
    return Aids(
        loads=loads(replay.calls, config.csms),
        kinds=day_kinds(replay.calls, _countries(history, product), replay.first_on, replay.last_on),
        sweeps=[_swept(history, replay, product, rule) for rule in rules],
        foresight=foresight,
        outcome_reading=outcomes.reading if outcomes is not None else "",
    )


def _countries(history: "History", product: "Product") -> dict[str, str]:
    """The country whose holidays are looked at, of each customer with any use."""
    from services.evaluator.core.countries import country_of_zone
    from services.evaluator.core.rules import settings_of
    from shared.events import Profile

    found = {}
    for customer_id in history.uses:
        settings = settings_of(history.profiles.get(customer_id, Profile()), product)
        found[customer_id] = settings.holidays or country_of_zone(settings.zone)
    return found


def _swept(history: "History", replay: "Replay", product: "Product", rule: "AbsenceRule") -> "Sweep":
    """One replay for each cutoff; the same days are cut off under all of them."""
    from services.commands.backtesting import settings
    from services.commands.backtesting.sweep import live, measure, own_setting
    from services.commands.backtesting.telling import Sweep
    from services.commands.progress import progress

    own = own_setting(rule)
    has_times = any(use.occurred_us is not None for uses in history.uses.values() for use in uses.dated)
    cutoffs = settings.cutoffs(own, has_times=has_times)
    lives = {}
    with progress(f"trying settings of {rule.name}", len(cutoffs)) as bar:
        for cutoff in cutoffs:
            lives[cutoff] = live(
                history.uses,
                history.profiles,
                product,
                rule,
                cutoff=cutoff,
                first_on=replay.first_on.toordinal(),
                last_on=replay.last_on.toordinal(),
                draw=Random(CUTS_SEED).sample,
            )
            bar.at(len(lives))
    return Sweep(
        rule=rule.name,
        own=own,
        around=tuple(measure(lives[s.cutoff], s) for s in settings.around(own, has_times=has_times)),
        grid=tuple(measure(lives[s.cutoff], s) for s in settings.grid(own, has_times=has_times)),
    )


def _page(
    history: "History", replay: "Replay", config: "Config", product: str, aids: "Aids", left_out: str
) -> str:
    from services.commands import summary
    from services.commands.backtesting.page import page

    stops, ended = summary.endings(replay, config, product)
    return page(
        f"Backtest of {product}",
        summary.read_lines(history, replay, product, left_out),
        summary.facts(replay, len(history.uses)),
        replay.calls,
        summary.weekdays(replay.calls),
        ended,
        len(stops),
        aids,
    )


def _trigger_line(trigger: "Trigger") -> bytes:
    from shared.triggers import encode_trigger

    return encode_trigger(trigger)


def _write(file: TextIO | None, lines: Iterable[bytes]) -> None:
    if file is not None:
        file.writelines(line.decode() + "\n" for line in lines)
