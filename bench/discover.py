"""How often `discover` finds a habit where there is none, and where there is one (docs/discover.md).

    python -m bench.discover [--rounds 200] [--customers 400] [--shuffles 200]

Nothing to be found: outcomes are drawn by lot, on drawn usage and on the real first days
of restaurants, read from the folder named by USAGE_TRIGGERS_DATA or from ../shared/data, if it is there.
Something: 85 % stay of those with 9 scouts in 28 days, 45 % of the others.
"""

import argparse
import contextlib
import io
import random
from collections import Counter
from collections.abc import Iterator

from bench.data import DATA
from services.commands.discovery.cohort import Cohort, Uses, gather
from services.commands.discovery.findings import BELIEVED_MAX, Finding, conclude, look
from services.commands.discovery.odds import fisher
from services.commands.discovery.search import best_by_chance
from services.commands.outcomes import Outcome
from services.commands.tables import Rejections, Table
from services.commands.usage_rows import uses
from shared.events import Profile
from tests.cohorts import by_lot, drawn, planted

STAYED_SHARE = 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--customers", type=int, default=400)
    parser.add_argument("--shuffles", type=int, default=200)
    args = parser.parse_args()
    rounds = range(args.rounds)
    nothing = (drawn(seed, args.customers, by_lot) for seed in rounds)
    report(f"nothing there, {args.customers} drawn customers", nothing, args.shuffles)
    if (DATA / "restaurant_days.csv.gz").exists():
        report("nothing there, real restaurants", restaurants(args.rounds), args.shuffles)
    there = (drawn(seed, args.customers, planted(9, 28)) for seed in range(args.rounds // 4))
    report(f"9 scouts in 28 days, {args.customers} drawn customers", there, args.shuffles)


def report(name: str, cohorts: Iterator[Cohort], shuffles: int) -> None:
    count = uncorrected = searched = recommended = 0
    best: Counter[str] = Counter()
    for seed, cohort in enumerate(cohorts):
        search = look(cohort, seed)
        by_chance = list(
            best_by_chance(search.searched, search.candidates, random.Random(seed).shuffle, shuffles)
        )
        findings = conclude(search, by_chance)
        count += 1
        uncorrected += any(fisher(one.split) <= BELIEVED_MAX for one in search.candidates)
        searched += any(found.chance <= BELIEVED_MAX for found in findings)
        believed = [found for found in findings if found.verdict == "recommended"]
        recommended += bool(believed)
        best.update([said(believed[0])] if believed else [])
    sizes = f"{len(cohort.members)} customers and {len(search.candidates)} candidates"
    print(f"{name}: {count} rounds, the last with {sizes}")
    print(f"  some candidate at 0.05, uncorrected  {uncorrected / count:6.1%}")
    print(f"  some habit after the correction      {searched / count:6.1%}")
    print(f"  recommended, held-out half asked     {recommended / count:6.1%}")
    for words, times in best.most_common(8):
        print(f"    {times:4} x {words}")


def said(found: Finding) -> str:
    return found.habit.words()


def restaurants(rounds: int) -> Iterator[Cohort]:
    """The real usage, with outcomes drawn anew each round."""
    found: dict[str, dict[str, dict[int, int]]] = {}
    table = Table(str(DATA / "restaurant_days.csv.gz"))
    with contextlib.redirect_stderr(io.StringIO()):
        for use in uses(table, Rejections(print), product="p", now_us=2_000_000_000_000_000):
            found.setdefault(use.customer_id, {"*": {}})["*"][use.occurred_on or 0] = 1
    known: dict[str, Uses] = dict(found)
    profiles = dict.fromkeys(known, Profile())
    for seed in range(rounds):
        chance = random.Random(seed)
        outcomes = {id: Outcome(stayed=chance.random() < STAYED_SHARE, known_on=None) for id in sorted(known)}
        yield gather(known, profiles, outcomes, anchor="first_active_on")


if __name__ == "__main__":
    main()
