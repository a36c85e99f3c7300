"""How many calls are false and how soon a true stop is called, on real usage histories (docs/calls.md).

    python -m bench.calls [--seed 7] [--cuts 10] [--half b]

The histories are read from the folder named by USAGE_TRIGGERS_DATA, or from ../shared/data.
"""

import argparse
import csv
import gzip
import random
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate, pairwise
from statistics import median

import holidays as public_holidays

from bench.data import DATA
from services.evaluator.core.closings import learned_closed
from services.evaluator.core.expectation import (
    combine,
    customary_breaks,
    expect,
)
from services.notifier.planning.peers import common_cause, release_day

HALF_SALT = "calls"
DAYS_PER_YEAR = 365.25
BINS = (0.0, 0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.967, 0.98, 0.99)
CEILING = 0.9999
CERTAIN = 0.99
THRESHOLDS = (0.5, 0.7, 0.8, 0.85, 0.9, 0.92, 0.93, 0.94, 0.95, 0.955, 0.96, 0.965, 0.97, 0.975, 0.98, 0.99)


@dataclass(frozen=True, kw_only=True)
class History:
    """One customer's active days, bit i standing for the day `base + i`."""

    customer_id: str
    base: int
    active: int

    @property
    def days(self) -> list[int]:
        return [self.base + bit for bit in range(self.active.bit_length()) if self.active >> bit & 1]


Judge = Callable[[int, int, int], float]
"""(active, base, day) to the surprise of missing that day: 0 where it is not expected."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A history cut before a day of use: the combined surprise reached by each of its next days of use."""

    by_first: float
    by_second: float
    at_all: float
    enough: float


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Days without use that ended by themselves: the combined surprise after each, and what was enough."""

    before: int
    after: int
    silence: tuple[float, ...]
    enough: float

    @property
    def reached(self) -> float:
        return self.silence[-1]

    @property
    def stopped_day(self) -> int | None:
        return next((self.before + i for i, value in enumerate(self.silence) if value >= self.enough), None)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one way of judging did to one customer."""

    years: float
    days: tuple[int, ...]
    gaps: tuple[Gap, ...]
    cuts: tuple[Cut, ...]


def in_half(customer_id: str, half: str) -> bool:
    """Half a is for tuning, half b for reporting; a customer's half never changes."""
    return half == "ab" or "ab"[zlib.crc32(f"{HALF_SALT}:{customer_id}".encode()) % 2] == half


def read_histories(name: str) -> list[History]:
    found: dict[str, set[int]] = {}
    with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            found.setdefault(row["customer_id"], set()).add(date.fromisoformat(row["date"]).toordinal())
    return [
        History(customer_id=customer, base=min(days), active=sum(1 << (day - min(days)) for day in days))
        for customer, days in sorted(found.items())
    ]


def holiday_days(country: str) -> list[int]:
    return [day.toordinal() for day in public_holidays.country_holidays(country, years=range(2010, 2019))]


def silence(judge: Judge, active: int, base: int, first: int, last: int) -> Iterator[float]:
    """The combined surprise after each of the days first..last, none of them active."""
    parts = (judge(active, base, day) for day in range(first, last + 1))
    return accumulate(parts, lambda so_far, more: combine((so_far, more)), initial=0.0)


def measure(history: History, judge: Judge, cuts: int, rng: random.Random) -> Measured:
    days, base = history.days, history.base
    gaps = tuple(
        Gap(
            before=before,
            after=after,
            silence=tuple(silence(judge, history.active, base, before + 1, after - 1)),
            enough=expect(history.active, base, before + 1).enough,
        )
        for before, after in pairwise(days)
        if after - before > 1
    )
    inner = range(1, len(days) - 1)
    chosen = rng.sample(inner, min(cuts, len(inner)))
    return Measured(
        years=(days[-1] - days[0] + 1) / DAYS_PER_YEAR,
        days=tuple(days),
        gaps=gaps,
        cuts=tuple(cut_before(days, index, base, history.active, judge) for index in chosen),
    )


def cut_before(days: Sequence[int], index: int, base: int, active: int, judge: Judge) -> Cut:
    """The customer stops for good after its use number `index - 1`; the rest of its days are taken away."""
    kept = active & ((1 << (days[index] - base)) - 1)
    reached = [0.0]
    for value in silence(judge, kept, base, days[index - 1] + 1, days[-1]):
        reached.append(value)
        if value >= CEILING:
            break
    start = days[index - 1]

    def by(day: int) -> float:
        return reached[min(day - start + 1, len(reached) - 1)]

    return Cut(
        by_first=by(days[index]),
        by_second=by(days[index + 1]),
        at_all=reached[-1],
        enough=expect(kept, base, start + 1).enough,
    )


@dataclass(frozen=True, kw_only=True)
class Figures:
    false_calls: float
    first_day: float
    second_day: float
    at_all: float


def figures(measured: Sequence[Measured], threshold: float | None) -> Figures:
    """False calls over all customer-years; shares of cuts with every customer weighing the same.

    Without a threshold each customer's own is asked, as a rule without `min_surprise` does.
    """
    years = sum(one.years for one in measured)
    with_cuts = [one for one in measured if one.cuts]

    def bar(enough: float) -> float:
        return enough if threshold is None else threshold

    def share(reached: Callable[[Cut], float]) -> float:
        per_customer = (
            sum(reached(cut) >= bar(cut.enough) for cut in one.cuts) / len(one.cuts) for one in with_cuts
        )
        return sum(per_customer) / len(with_cuts)

    return Figures(
        false_calls=sum(gap.reached >= bar(gap.enough) for one in measured for gap in one.gaps) / years,
        first_day=share(lambda cut: cut.by_first),
        second_day=share(lambda cut: cut.by_second),
        at_all=share(lambda cut: cut.at_all),
    )


def literal(learn: bool, closed_days: frozenset[int]) -> Judge:
    """`expect: calendar`: every expected day missed is certain."""

    def judge(active: int, base: int, day: int) -> float:
        if day in closed_days:
            return 0.0
        return 0.0 if learn and learned_closed(active, base, day) >> ((day + 6) % 7) & 1 else 1.0

    return judge


def from_history(country: str | None, closed_days: frozenset[int]) -> Judge:
    """`expect: history`, with a country's public holidays and customary breaks as evidence."""
    known = sorted(holiday_days(country)) if country else []
    bitmaps: dict[int, tuple[int, int]] = {}

    def judge(active: int, base: int, day: int) -> float:
        if day in closed_days:
            return 0.0
        if base not in bitmaps:
            holidays = sum(1 << (holiday - base) for holiday in known if holiday >= base)
            bitmaps[base] = holidays, customary_breaks(country, base, 800) if country else 0
        holidays, breaks = bitmaps[base]
        return expect(active, base, day, holidays=holidays, breaks=breaks).surprise

    return judge


def with_peers(measured: Sequence[Measured]) -> tuple[float, float]:
    """False calls a year when common causes are waited out; the share of days of use that have one."""
    stops = [(gap.stopped_day, gap.after) for one in measured for gap in one.gaps]
    stopped = Counter(day for day, _ in stops if day is not None)
    watched = Counter(day for one in measured for day in range(one.days[1], one.days[-1] + 1))
    common = {day for day in stopped if common_cause(stopped_count=stopped[day], watched_count=watched[day])}
    called = sum(release_day(day, common) < after for day, after in stops if day is not None)
    used = [day for one in measured for day in one.days[1:]]
    return called / sum(one.years for one in measured), sum(day in common for day in used) / len(used)


HEAD = f"{'':58}{'false/year':>11}{'1st day':>9}{'2nd day':>9}{'at all':>8}"


def line(label: str, measured: Sequence[Measured], threshold: float | None) -> str:
    f = figures(measured, threshold)
    return f"{label:58}{f.false_calls:11.2f}{f.first_day:9.1%}{f.second_day:9.1%}{f.at_all:8.1%}"


def report(name: str, histories: Sequence[History], country: str, args: argparse.Namespace) -> None:
    half = [h for h in histories if in_half(h.customer_id, args.half)]
    chosen = [h for h in half if h.active.bit_count() >= args.min_days]
    holidays = frozenset(holiday_days(country))
    nothing: frozenset[int] = frozenset()

    def run(judge: Judge) -> list[Measured]:
        return [measure(h, judge, args.cuts, random.Random(f"{args.seed}:{h.customer_id}")) for h in chosen]

    ways = {
        "calendar, nothing learned": run(literal(False, nothing)),
        "calendar, learned closed weekdays": run(literal(True, nothing)),
        "calendar, learned closed weekdays, holidays closed": run(literal(True, holidays)),
        "history, default, no country": run(from_history(None, nothing)),
        "history, default, holidays closed": run(from_history(country, holidays)),
    }
    main = run(from_history(country, nothing))
    years = sum(one.years for one in main)
    print(
        f"\n{name}: {len(chosen)} customers of half {args.half}, {years:.0f} customer-years, "
        f"{sum(len(one.cuts) for one in main)} cuts, seed {args.seed}"
    )
    print(HEAD)
    for label, measured in ways.items():
        print(line(label, measured, CERTAIN if label.startswith("calendar") else None))
    print(line("history, default, holidays as evidence", main, None))
    for label, measured in {**ways, "history, default, holidays as evidence": main}.items():
        if label.startswith("history"):
            calls, held = with_peers(measured)
            print(f"{label + ', peers waited for':58}{calls:11.2f}  {held:.1%} of days of use wait")
    for threshold in THRESHOLDS:
        print(line(f"the same with min_surprise {threshold}", main, threshold))
    truth(chosen, from_history(country, nothing))


def truth(histories: Sequence[History], judge: Judge) -> None:
    """Whether surprise is the chance that it says it is: days of use among all days judged so."""
    days: Counter[float] = Counter()
    used: Counter[float] = Counter()
    for history in histories:
        for day in range(history.days[0] + 1, history.days[-1] + 1):
            surprise = judge(history.active, history.base, day)
            bin_ = max(lower for lower in BINS if surprise >= lower)
            days[bin_] += 1
            used[bin_] += history.active >> (day - history.base) & 1
    print(f"{'surprise from':>14}{'days':>9}{'used':>9}{'share of use':>14}")
    for lower in BINS:
        share = used[lower] / used.total()
        print(f"{lower:14}{days[lower]:9}{used[lower] / max(days[lower], 1):9.1%}{share:14.1%}")


def speed(histories: Sequence[History]) -> None:
    days = [(h.active, h.base, h.base + 300 + turn) for h in histories[:200] for turn in range(7)]
    for function in (learned_closed, expect):
        runs = []
        for _ in range(5):
            started = time.perf_counter()
            for active, base, day in days:
                function(active, base, day)
            runs.append((time.perf_counter() - started) / len(days) * 1e6)
        print(f"{function.__name__}: median {median(runs):.1f} us a call")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--cuts", type=int, default=10, help="cuts a customer")
    parser.add_argument("--half", choices=("a", "b", "ab"), default="b", help="a is the half tuned on")
    parser.add_argument("--min-days", type=int, default=3, help="leave out customers with fewer active days")
    parser.add_argument("--only", choices=("restaurants", "wholesaler"))
    args = parser.parse_args()
    restaurants = read_histories("restaurant_days.csv.gz")
    if args.only != "wholesaler":
        report("restaurants", restaurants, "JP", args)
    if args.only != "restaurants":
        report("wholesaler", read_histories("wholesale_days.csv.gz"), "GB", args)
    speed(restaurants)


if __name__ == "__main__":
    main()
