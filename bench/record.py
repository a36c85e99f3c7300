"""Prints what a bench found and keeps it under bench/results, with the machine it was found on."""

import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version

import msgspec
import psutil

from bench.result import Comparison, Curve, Figure, Machine, Result, write
from shared.clock import SystemClock, from_us

_GIBIBYTE = 1 << 30
LOOK_SECONDS = 3.0


def result(
    name: str,
    about: str | None,
    *,
    load: str,
    figures: Sequence[Figure],
    comparisons: Sequence[Comparison] = (),
    curves: Sequence[Curve] = (),
    notes: Sequence[str] = (),
    parts: Sequence[str] = (),
    versions: dict[str, str] | None = None,
) -> Result:
    """The result of this program; `about` is its docstring, `parts` are packages whose version counts."""
    return Result(
        name=name,
        title=(about or name).strip().splitlines()[0],
        load=load,
        figures=tuple(figures),
        comparisons=tuple(comparisons),
        curves=tuple(curves),
        notes=tuple(notes),
        command=shlex.join(["python", "-m", f"bench.{name}", *sys.argv[1:]]),
        measured_on=from_us(SystemClock().now_us()).date().isoformat(),
        machine=Machine(
            cores=os.cpu_count() or 1,
            memory_gib=round(psutil.virtual_memory().total / _GIBIBYTE, 1),
            python=platform.python_version(),
            versions={part: version(part) for part in parts} | (versions or {}),
        ),
    )


def conclude(found: Result) -> None:
    """Tells it and keeps it, once everything that it started has ended and only others are seen to work."""
    found = msgspec.structs.replace(found, busy=psutil.cpu_percent(LOOK_SECONDS) / 100)
    print("\n".join(lines(found)))
    print(f"kept in {os.path.relpath(write(found))}")


def lines(found: Result) -> list[str]:
    """The result as it is printed."""
    said = [found.title, f"  {found.load}"]
    said += [_figure_line(figure) for figure in found.figures]
    said += [_comparison_line(comparison) for comparison in found.comparisons]
    said += [_curve_line(curve) for curve in found.curves]
    return said + [f"  {note}" for note in found.notes]


def amount(value: float) -> str:
    """Three digits or all those before the point: what a reader can tell apart."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def span(values: Sequence[float]) -> str:
    """From the lowest to the highest, or nothing where there was one round."""
    return f"{amount(min(values))} to {amount(max(values))}" if len(values) > 1 else ""


def _figure_line(figure: Figure) -> str:
    said = f"  {figure.name:52} {amount(figure.median):>11} {figure.unit:10} {span(figure.values)}"
    if figure.target is not None:
        verdict = "reaches" if figure.target.is_reached_by(figure.median) else "misses"
        said += f"  {verdict} {figure.target.words(figure.unit)}"
    return said.rstrip()


def _comparison_line(comparison: Comparison) -> str:
    said = f"  {comparison.name:52} {amount(comparison.median):>11} {'':10} {span(comparison.ratios)}"
    if comparison.target is not None:
        verdict = "reaches" if comparison.target.is_reached_by(comparison.median) else "misses"
        said += f"  {verdict} {comparison.target.words()}"
    return said.rstrip()


def _curve_line(curve: Curve) -> str:
    points = ", ".join(f"{amount(value)} at {size:,.0f}" for size, value in curve.points)
    return f"  {curve.name} ({curve.unit}) by {curve.across}: {points}; exponent {curve.exponent:.2f}"
