"""Charts as SVG files: curves on logarithmic axes, where a power is a straight line, and bars of speeds."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from bench.record import amount
from bench.result import Curve

WIDTH, HEIGHT = 720, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 200, 32, 46
_BAR, _NAME = 26, 250
_COLOURS = ("#2563eb", "#d97706", "#059669", "#be185d")
_GREY = "#64748b"
_DARK = (
    "text{font:12px system-ui,sans-serif;fill:#334155}"
    "@media(prefers-color-scheme:dark){text{fill:#cbd5e1}.ground{fill:#0f172a}}"
)


def curves(shown: Sequence[Curve], title: str) -> str:
    """Curves over the same sizes, each with its points, its name and its exponent where it ends."""
    across = _Axis.over([x for curve in shown for x, _ in curve.points], _LEFT, WIDTH - _RIGHT)
    up = _Axis.over([y for curve in shown for _, y in curve.points], HEIGHT - _BOTTOM, _TOP)
    drawn = [_grid_across(across), _grid_up(up)]
    ends: list[float] = []
    for curve, colour in zip(shown, _COLOURS, strict=False):
        places = [(across.at(x), up.at(y)) for x, y in curve.points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in places]
        ends.append(_apart(places[-1][1], ends))
        said = f"{curve.name} (^{curve.exponent:.2f})"
        drawn.append(_text(places[-1][0] + 8, ends[-1] + 4, said, "start", colour))
    first = shown[0]
    drawn.append(_text(WIDTH - _RIGHT, HEIGHT - 8, first.across, "end"))
    drawn.append(_text(_LEFT - 8, 14, first.unit, "end"))
    return _svg(drawn, title, HEIGHT)


def bars(values: Sequence[tuple[str, float]], ours: str, unit: str, title: str) -> str:
    """A bar for each, those whose name begins with `ours` in colour; logarithmic, for some are far behind."""
    axis = _Axis.over([value for _, value in values], _NAME, WIDTH - 110)
    height = _TOP + _BAR * len(values) + 12
    drawn = []
    for number, (name, value) in enumerate(values):
        y = _TOP + number * _BAR
        colour = _COLOURS[0] if name.startswith(ours) else _GREY
        length = max(axis.at(value) - _NAME, 2)
        drawn.append(_text(_NAME - 8, y + 13, name, "end"))
        drawn.append(f'<rect x="{_NAME}" y="{y}" width="{length:.1f}" height="{_BAR - 8}" fill="{colour}"/>')
        drawn.append(_text(_NAME + length + 6, y + 13, f"{amount(value)} {unit}", "start"))
    return _svg(drawn, title, height)


class _Axis:
    """A logarithmic axis from one power of ten to another, between two places of the picture."""

    def __init__(self, low: int, high: int, start: float, end: float) -> None:
        self.low, self.high = low, max(high, low + 1)
        self._start, self._end = start, end

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        return cls(floor(log10(min(values))), ceil(log10(max(values))), start, end)

    def at(self, value: float) -> float:
        share = (log10(value) - self.low) / (self.high - self.low)
        return self._start + share * (self._end - self._start)

    def powers(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _apart(wanted: float, taken: Sequence[float]) -> float:
    """The first place from the wanted one downwards at which no other name stands."""
    while any(abs(wanted - other) < 14 for other in taken):
        wanted += 7
    return wanted


def _grid_across(axis: _Axis) -> str:
    return "".join(
        f'<line x1="{axis.at(value):.1f}" x2="{axis.at(value):.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}" '
        f'stroke="{_GREY}" stroke-opacity="0.25"/>'
        + _text(axis.at(value), HEIGHT - _BOTTOM + 18, f"{value:,g}", "middle")
        for value in axis.powers()
    )


def _grid_up(axis: _Axis) -> str:
    return "".join(
        f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{axis.at(value):.1f}" y2="{axis.at(value):.1f}" '
        f'stroke="{_GREY}" stroke-opacity="0.25"/>'
        + _text(_LEFT - 8, axis.at(value) + 4, f"{value:,g}", "end")
        for value in axis.powers()
    )


def _text(x: float, y: float, said: str, anchor: str, colour: str = "") -> str:
    fill = f' style="fill:{colour}"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{fill}>{escape(said)}</text>'


def _svg(drawn: Sequence[str], title: str, height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title><style>{_DARK}</style>'
        f'<rect class="ground" width="{WIDTH}" height="{height}" fill="#ffffff"/>{"".join(drawn)}</svg>\n'
    )
