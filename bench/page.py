"""docs/performance.md with its charts, and the README's and operator's figures, from bench/results alone."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bench import capacity, charts, sizing
from bench.record import amount, span
from bench.result import Result, Target, read_all

ROOT = Path(__file__).parents[1]
PAGE, README = "docs/performance.md", "README.md"
BUSY = r" \*"
"""Marks what was measured while others used the machine."""
Results = Mapping[str, Result]

HEAD = """# Performance

Made by `make bench` out of [bench/results](../bench/results); no figure here is typed by hand. Everyone to
be compared takes turns on one machine in one run, so trust the ratios more than what stands beside them.
Figures are medians, with the lowest and the highest round. A ratio of speeds is better the higher it is, one
of times or of memory the lower.
"""

README_FIGURES = (
    ("active days through the core, one core", "backtest", "active days through the core"),
    ("`backtest` of 401 restaurants, the whole command", "backtest", "the whole command"),
    ("`serve` from a cold start to ready", "serve_start", "cold start on a new store"),
    ("resident with 100,000 customers of 400 days in the store", "serve_start", "the same, 20 s later"),
    (
        "accepted event to the webhook's first byte, embedded",
        "event_to_webhook",
        "accepted event to the first byte",
    ),
    ("an evaluator on Kafka and PostgreSQL", "evaluator", "evaluator"),
    (
        "an evaluator on Kafka and PostgreSQL, share of a bare decoding client's speed",
        "evaluator",
        "evaluator / bare client",
    ),
    ("a midnight at which a million customers are due", "midnight", "all of them settled"),
    (
        "deliveries, 50 at once, against one bare httpx client",
        "deliveries",
        "sender / one httpx client",
    ),
    (
        "1,000 stops at once, at Slack, 99th percentile",
        "deliveries",
        "1,000 stops at once, at Slack, 99th percentile",
    ),
    ("ingest's route in batches of 500", "ingest_route", "ingest's route"),
    (
        "ingest's route in batches of 500, share of a bare ASGI app's speed",
        "ingest_route",
        "ingest's route / bare ASGI app",
    ),
    ("the inbox with 5,000 open tasks, to its first byte", "inbox", "the inbox, first byte"),
)
"""What the README tells: in its words, of which bench, and the figure or comparison there."""


def main() -> None:
    results = read_all()
    for path, text in files(results, _text_of(README), _text_of(capacity.PAGE)).items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    print(f"made {PAGE} and the figures of {README} and {capacity.PAGE} from {len(results)} results")


def files(results: Results, readme: str, operations: str) -> dict[str, str]:
    """What each file is to hold, by its path in the tree; `readme` and `operations` as they stand."""
    pictures = dict(_pictures(results))
    return {
        PAGE: page(results, pictures),
        README: with_figures(readme, results),
        capacity.PAGE: with_capacity(operations, results),
    } | {f"docs/{path}": drawing for path, drawing in pictures.items()}


def _text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def page(results: Results, pictures: Mapping[str, str]) -> str:
    parts = [HEAD, *_sizes(results), *_targets(results.values())]
    parts += [part for result in results.values() for part in _bench(result, pictures)]
    return "\n".join(parts)


def with_figures(readme: str, results: Results) -> str:
    """The README with its two made parts renewed; a busy machine's figures never replace a quiet one's."""
    known = _rows(readme)
    found = []
    for words, name, key in README_FIGURES:
        label, row = f"| {words} |", known.get(f"| {words} |", "")
        if name in results and results[name].is_quiet and (said := _said(results[name], key)):
            row = f" {said} | `make {_heading(results[name])}` |"
        found += [label + row] if row else []
    table = "\n".join(["| | | |", "| --- | ---: | --- |", *found])
    made = _between(readme, "figures", table)
    size = sizing.sentence(results)
    return _between(made, "size", size) if size else made


def with_capacity(operations: str, results: Results) -> str:
    """The operator's page with its table renewed. Where no quiet machine has measured it, a busy one's figure
    stands there and says so: it bounds what is carried."""
    known = _rows(operations)
    found = ["| | carried | measured by | more takes |", "| --- | ---: | --- | --- |"]
    for row in capacity.ROWS:
        label, kept = f"| {row.words} |", known.get(f"| {row.words} |", "")
        measured = results.get(row.bench)
        said = _said(measured, row.figure) if measured is not None else ""
        if measured is not None and said and (measured.is_quiet or not kept or BUSY in kept):
            mark = "" if measured.is_quiet else BUSY
            kept = f" {said}{mark} | `make {_heading(measured)}` | {row.more} |"
        found += [label + kept] if kept else []
    return _between(operations, "capacity", "\n".join(found))


def _rows(text: str) -> dict[str, str]:
    """Every row of every table: what follows its first cell, by that."""
    return dict(re.findall(r"^(\| .*? \|)(.*)$", text, re.MULTILINE))


def _between(text: str, mark: str, made: str) -> str:
    begin, end = f"<!-- {mark}: made by bench.page -->\n", f"\n<!-- {mark} end -->"
    return re.sub(f"{begin}.*?{end}", lambda _: begin + made + end, text, flags=re.DOTALL)


def _said(result: Result, key: str) -> str:
    """A figure or a comparison in a few characters; nothing where this bench has not measured it."""
    for figure in result.figures:
        if figure.name == key:
            return f"{amount(figure.median)} {figure.unit}"
    for comparison in result.comparisons:
        if comparison.name == key:
            return amount(comparison.median)
    return ""


def _sizes(results: Results) -> Iterator[str]:
    said = sizing.paragraphs(results)
    if said:
        yield "## What it carries\n"
        yield from (f"{paragraph}\n" for paragraph in said)


def _targets(results: Iterable[Result]) -> Iterator[str]:
    """Everything with a target, the missed ones with the reason."""
    asked = [(result, *one) for result in results for one in _asked(result)]
    reached = sum(target.is_reached_by(measured) for _, _, target, measured, _ in asked)
    yield f"## Asked and reached\n\n{reached} of {len(asked)} are reached.\n"
    yield "| | asked | measured | |\n| --- | ---: | ---: | --- |"
    for result, name, target, measured, unit in asked:
        verdict = "reached" if target.is_reached_by(measured) else _missed(target)
        if _is_of_time(unit) and not result.is_quiet:
            verdict = "not judged: others used the machine"
        link = f"[{_heading(result)}](#{_heading(result)})"
        yield f"| {link}: {name} | {target.words(unit)} | {amount(measured)} {unit} | {verdict} |"
    yield ""


def _is_of_time(unit: str) -> bool:
    """Neighbours on the machine change these; ratios of rounds taken in turns and sizes they hardly do."""
    return unit in ("s", "ms") or unit.endswith("/s")


def _missed(target: Target) -> str:
    return f"**missed**: {target.why_missed or 'the reason is not found yet'}"


def _asked(result: Result) -> Iterator[tuple[str, Target, float, str]]:
    """Name, target, median and unit."""
    for figure in result.figures:
        if figure.target is not None:
            yield figure.name, figure.target, figure.median, figure.unit
    for comparison in result.comparisons:
        if comparison.target is not None:
            yield comparison.name, comparison.target, comparison.median, ""


def _bench(result: Result, pictures: Mapping[str, str]) -> Iterator[str]:
    yield f"## {_heading(result)}\n\n{result.title}\n\n{result.load}.\n"
    yield "| | median | | lowest to highest |\n| --- | ---: | --- | --- |"
    yield from (_row(figure.name, figure.median, figure.unit, figure.values) for figure in result.figures)
    for comparison in result.comparisons:
        yield _row(f"*{comparison.name}*", comparison.median, "", comparison.ratios)
    yield ""
    yield from (f"{note}\n" for note in result.notes)
    for path in pictures:
        if path.startswith(f"images/bench-{result.name}-"):
            yield f"![{path[7:-4]}]({path})\n"
    if not result.is_quiet:
        yield f"**Others used {result.busy:.0%} of the machine: trust the ratios alone.**\n"
    yield f"{_where(result)}\n"


def _row(name: str, median: float, unit: str, values: Sequence[float]) -> str:
    return f"| {name} | {amount(median)} | {unit} | {span(values)} |"


def _where(result: Result) -> str:
    machine = result.machine
    versions = ", ".join(f"{name} {version}" for name, version in sorted(machine.versions.items()))
    return (
        f"`{result.command}` on {result.measured_on}: {machine.cores} cores, {machine.memory_gib:g} GiB, "
        f"Python {machine.python}{', ' if versions else ''}{versions}."
    )


def _pictures(results: Results) -> Iterator[tuple[str, str]]:
    """Path below docs and drawing: curves of one bench over the same sizes and unit share one."""
    for result in results.values():
        kinds = dict.fromkeys((curve.across, curve.unit) for curve in result.curves)
        for number, kind in enumerate(kinds, start=1):
            shown = [curve for curve in result.curves if (curve.across, curve.unit) == kind]
            yield f"images/bench-{result.name}-{number}.svg", charts.curves(shown, result.title)
        if result.name == "peers":
            values = [(figure.name, figure.median) for figure in result.figures if figure.unit == "events/s"]
            yield (
                f"images/bench-{result.name}-speeds.svg",
                charts.bars(values, "usage-triggers", "events/s", result.title),
            )


def _heading(result: Result) -> str:
    return f"bench-{result.name.replace('_', '-')}"


if __name__ == "__main__":
    main()
