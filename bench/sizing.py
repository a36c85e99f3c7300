"""What one machine carries and what more would take, computed from what was measured."""

from collections.abc import Mapping
from math import ceil, floor, log10

import msgspec

from bench.result import Result

EVENTS_A_DAY = 20
"""Of a customer, as in the bench of the evaluator."""

PEAK = 5
"""The busiest hour's rate over the day's."""

RESERVE = 2
"""What is measured is used by half, so that it also catches up."""

MIDNIGHT_SECONDS_MAX = 900
LARGE_CUSTOMERS, LARGE_RATE = 10_000_000, 100_000
_DAY_SECONDS = 86_400
_GIGABYTE = 1e9


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What the sizes are computed from; rates are a second's, of one evaluator and one process of ingest."""

    events: float
    settled: float
    taken_in: float
    bytes_each: float
    cores: int
    is_quiet: bool


def sentence(results: Mapping[str, Result]) -> str:
    """For the README; empty where something is missing, or was measured on a busy machine."""
    measured = _measured(results)
    return _small(measured) if measured is not None and measured.is_quiet else ""


def paragraphs(results: Mapping[str, Result]) -> list[str]:
    """For the page."""
    measured = _measured(results)
    if measured is None:
        return []
    said = [_small(measured), _large(measured)]
    return said if measured.is_quiet else [*said, "**Others used the machine meanwhile: it can do more.**"]


def customers_carried(measured: Measured) -> int:
    """As many as peak and midnight leave room for."""
    by_events = measured.events / RESERVE / PEAK * _DAY_SECONDS / EVENTS_A_DAY
    by_midnight = measured.settled * MIDNIGHT_SECONDS_MAX / RESERVE
    return _rounded_down(min(by_events, by_midnight))


def evaluators_needed(measured: Measured, events_a_second: float) -> int:
    return ceil(events_a_second * RESERVE / measured.events)


def _measured(results: Mapping[str, Result]) -> Measured | None:
    """None where a bench, or a figure of it, is not among the results."""
    try:
        used = [results[name] for name in ("evaluator", "midnight", "ingest_route", "growth")]
        evaluator, midnight, route, growth = used
        return Measured(
            events=evaluator.figure("evaluator").median,
            settled=midnight.figure("customers settled").median,
            taken_in=route.figure("ingest's route").median,
            bytes_each=growth.figure("PostgreSQL, each customer of forty days").median,
            cores=growth.machine.cores,
            is_quiet=all(result.is_quiet for result in used),
        )
    except KeyError:
        return None


def _small(measured: Measured) -> str:
    minutes = MIDNIGHT_SECONDS_MAX // 60
    return (
        f"{measured.cores} shared cores, with Kafka and PostgreSQL on them too, fold {measured.events:,.0f} "
        f"events a second and settle {measured.settled:,.0f} customers a second at midnight. Computed from "
        f"that, an evaluator there has room for {customers_carried(measured):,} customers of {EVENTS_A_DAY} "
        f"events a day, {PEAK} times as many at the peak, with half in reserve and a midnight within "
        f"{minutes} minutes; a million customers are the most that were measured."
    )


def _large(measured: Measured) -> str:
    evaluators = evaluators_needed(measured, LARGE_RATE)
    ingests = ceil(LARGE_RATE * RESERVE / measured.taken_in)
    minutes = LARGE_CUSTOMERS / measured.settled / evaluators / 60
    gigabytes = LARGE_CUSTOMERS * measured.bytes_each / _GIGABYTE
    return (
        f"{LARGE_CUSTOMERS:,} customers at {LARGE_RATE:,} events a second would take, computed and not "
        f"measured, {evaluators} evaluators with as much of a machine each, {ingests} of ingest's processes "
        f"for batches of 500, and {gigabytes:.1f} GB of customers in PostgreSQL; a midnight at which all of "
        f"them are due would take {minutes:.0f} minutes."
    )


def _rounded_down(count: float) -> int:
    """Two digits: more would pretend to know."""
    size = 10 ** max(0, floor(log10(count)) - 1)
    return int(count // size * size)
