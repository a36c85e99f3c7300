"""What a bench found, as a value: figures of several rounds, and how they stand to others and to targets."""

from collections.abc import Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import fmean, median

import msgspec

RESULTS = Path(__file__).with_name("results")
BUSY_MAX = 0.2
"""Of a machine that is busier, times and speeds tell nothing; ratios of rounds taken in turns still do."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A bound on a median. `why_missed`: the reason found by profile; shown only where it is missed."""

    at_least: float | None = None
    at_most: float | None = None
    why_missed: str = ""

    def is_reached_by(self, value: float) -> bool:
        above = self.at_least is None or value >= self.at_least
        return above and (self.at_most is None or value <= self.at_most)

    def words(self, unit: str = "") -> str:
        bound = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"
        return f"{bound} {unit}".rstrip()


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity, once a round. What has a `unit` ending in `/s` should be high, others low."""

    name: str
    unit: str
    values: tuple[float, ...]
    target: Target | None = None

    @property
    def median(self) -> float:
        return median(self.values)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """How `ours` stands to `against`, round by round: a share of its speed, or a multiple of its time."""

    ours: str
    against: str
    ratios: tuple[float, ...]
    target: Target | None = None

    @property
    def name(self) -> str:
        return f"{self.ours} / {self.against}"

    @property
    def median(self) -> float:
        return median(self.ratios)


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity at several sizes: `points` are (size, value), sizes ascending."""

    name: str
    across: str
    unit: str
    points: tuple[tuple[float, float], ...]

    @property
    def exponent(self) -> float:
        """The slope of the straight line through the points on logarithmic axes: 0 flat, 1 proportional."""
        across, up = [log(x) for x, _ in self.points], [log(y) for _, y in self.points]
        middle, level = fmean(across), fmean(up)
        rise = sum((x - middle) * (y - level) for x, y in zip(across, up, strict=True))
        return rise / sum((x - middle) ** 2 for x in across)

    def at(self, size: float) -> float:
        """The value on that line, for sizes that were not measured."""
        middle, level = fmean(log(x) for x, _ in self.points), fmean(log(y) for _, y in self.points)
        return exp(level + self.exponent * (log(size) - middle))


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what it was measured."""

    cores: int
    memory_gib: float
    python: str
    versions: Mapping[str, str]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All that one run of a bench found; `load` says in words what was done how often.

    `busy`: the share of the machine's processors that others used, seen when the bench was done.
    """

    name: str
    title: str
    load: str
    figures: tuple[Figure, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()
    command: str
    measured_on: str
    machine: Machine
    busy: float = 0.0

    @property
    def is_quiet(self) -> bool:
        return self.busy <= BUSY_MAX

    def figure(self, name: str) -> Figure:
        """Raises KeyError where this bench has measured nothing of that name."""
        for figure in self.figures:
            if figure.name == name:
                return figure
        raise KeyError(name)


def compare(ours: Figure, against: Figure, target: Target | None = None) -> Comparison:
    """Of rates the share of the other's speed; of durations and sizes the multiple of the other's.

    Rounds taken in turns are compared one by one, for what disturbs one mostly disturbs its neighbour too.
    """
    if len(ours.values) == len(against.values):
        pairs = list(zip(ours.values, against.values, strict=True))
    else:
        pairs = [(ours.median, against.median)]
    ratios = tuple(mine / other for mine, other in pairs)
    return Comparison(ours=ours.name, against=against.name, ratios=ratios, target=target)


def rate(name: str, unit: str, count: float, seconds: Sequence[float]) -> Figure:
    """So many things in each of the rounds' seconds, as a rate."""
    return Figure(name=name, unit=f"{unit}/s", values=tuple(count / took for took in seconds))


def write(result: Result, directory: Path = RESULTS) -> Path:
    path = directory / f"{result.name}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(_rounded(result)), indent=1) + b"\n")
    return path


def read_all(directory: Path = RESULTS) -> dict[str, Result]:
    """Every result that is kept, by its name."""
    paths = sorted(directory.glob("*.json"))
    return {path.stem: msgspec.json.decode(path.read_bytes(), type=Result) for path in paths}


def _rounded(result: Result) -> Result:
    """Five digits: the others are noise, and would make every change of a file unreadable."""

    def digits(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(float(f"{value:.5g}") for value in values)

    replace = msgspec.structs.replace
    return replace(
        result,
        busy=round(result.busy, 2),
        figures=tuple(replace(one, values=digits(one.values)) for one in result.figures),
        comparisons=tuple(replace(one, ratios=digits(one.ratios)) for one in result.comparisons),
        curves=tuple(
            replace(one, points=tuple((x, float(f"{y:.5g}")) for x, y in one.points)) for one in result.curves
        ),
    )
