"""Charts as inline SVG, and the page around them: no script, no picture, nothing fetched. Pure text."""

import hashlib
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from math import ceil
from typing import Final

WIDTH: Final = 760
HEIGHT: Final = 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 24, 38
_TICKS: Final = 4
_CHARACTER_WIDTH: Final = 8


def page(title: str, parts: Iterable[str], *, language: str = "en") -> str:
    """A whole page that may load nothing and run nothing; its one style is allowed by its hash."""
    style = _style()
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, now: int | None = None) -> str:
    """A table; columns of words stand to the left, row `now` stands out. Text is escaped here."""
    shown = list(rows)
    kinds = [_kind([row[column] for row in shown]) for column in range(len(headings))]
    head = "".join(f"<th{kind}>{escape(cell)}</th>" for cell, kind in zip(headings, kinds, strict=True))
    body = ""
    for number, row in enumerate(shown):
        cells = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in zip(row, kinds, strict=True))
        body += f'<tr class="now">{cells}</tr>\n' if number == now else f"<tr>{cells}</tr>\n"
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'


def _kind(cells: Sequence[str]) -> str:
    is_words = any(cell[:1].isalpha() for cell in cells)
    return ' class="words"' if is_words else ""


def facts(named: Iterable[tuple[str, str]]) -> str:
    """A few large figures with what they are."""
    shown = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in named)
    return f'<dl class="facts">{shown}</dl>'


def bars(
    values: Sequence[tuple[str, float]],
    *,
    label: str,
    mark: tuple[float, str] | None = None,
    divide: tuple[int, str] | None = None,
    shown: Callable[[float], str] = "{:,.0f}".format,
) -> str:
    """Upright bars. `mark`: a level with its name; `divide`: from that bar on they are another colour."""
    top = _round_up(max([value for _, value in values] + ([mark[0]] if mark else []), default=0))
    step = (WIDTH - _LEFT - _RIGHT) / max(len(values), 1)
    every = _every([name for name, _ in values], step)
    drawn = [_grid(top, shown)]
    for n, (name, value) in enumerate(values):
        x, y = _LEFT + n * step, _y(value, top)
        colour = "b" if divide and n < divide[0] else "a"
        gap = min(step * 0.2, 6)
        drawn.append(
            f'<rect class="{colour}" x="{x + gap / 2:.1f}" y="{y:.1f}" width="{max(step - gap, 0.6):.1f}" '
            f'height="{_y(0, top) - y:.1f}"><title>{escape(name)}: {escape(shown(value))}</title></rect>'
        )
        if n % every == 0:
            drawn.append(_text(x + step / 2, HEIGHT - 20, name, "middle"))
    if mark:
        drawn.append(_level(mark[0], mark[1], top))
    if divide:
        x = _LEFT + divide[0] * step
        drawn.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
        drawn.append(_text(x + 4, _TOP + 10, divide[1], "start", "in-mark"))
    return _svg(drawn, label)


def lines(
    a: Sequence[float], b: Sequence[float], *, names: tuple[str, str], under: Sequence[str], label: str
) -> str:
    """Two curves of shares, 0 to 1, over the same points; each is named where it ends."""
    step = (WIDTH - _LEFT - _RIGHT - 90) / max(len(under) - 1, 1)
    every = _every(under, step)
    drawn = [_grid(1.0, "{:.0%}".format)]
    apart = 0.0 if abs(_y(a[-1], 1) - _y(b[-1], 1)) > 14 else 9.0
    for values, name, colour, shift in ((a, names[0], "a", -apart), (b, names[1], "b", apart)):
        points = " ".join(f"{_LEFT + n * step:.1f},{_y(value, 1):.1f}" for n, value in enumerate(values))
        drawn.append(f'<polyline class="line-{colour}" points="{points}"/>')
        end = _LEFT + (len(values) - 1) * step + 6
        drawn.append(_text(end, _y(values[-1], 1) + 4 + shift, name, "start", f"in-{colour}"))
    drawn += [
        _text(_LEFT + n * step, HEIGHT - 20, name, "middle") for n, name in enumerate(under) if n % every == 0
    ]
    return _svg(drawn, label)


def scatter(points: Sequence[tuple[float, float, str, bool]], *, label: str) -> str:
    """Points named under the pointer: a number across, a share up; the last value says which is large."""
    top = _round_up(max((across for across, _, _, _ in points), default=0))
    width = WIDTH - _LEFT - _RIGHT
    drawn = [_grid(1.0, "{:.0%}".format)]
    for across, share, name, is_large in sorted(points, key=lambda point: point[3]):
        x, y = _LEFT + width * across / top, _y(share, 1)
        size, colour = (7, "b") if is_large else (4, "a")
        drawn.append(
            f'<circle class="{colour}" cx="{x:.1f}" cy="{y:.1f}" r="{size}"><title>{escape(name)}: '
            f"{across:.1f}, {share:.0%}</title></circle>"
        )
    for tick in range(_TICKS + 1):
        drawn.append(_text(_LEFT + width * tick / _TICKS, HEIGHT - 20, f"{top * tick / _TICKS:g}", "middle"))
    return _svg(drawn, label)


@cache
def _style() -> str:
    return (files("services.commands") / "report.css").read_text(encoding="utf-8")


def _every(labels: Sequence[str], step: float) -> int:
    """Each so manieth label has room beside the next one."""
    longest = max(map(len, labels), default=1)
    return ceil((longest + 1) * _CHARACTER_WIDTH / step)


def _svg(drawn: Sequence[str], label: str) -> str:
    said = escape(label)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">{"".join(drawn)}</svg>'
        f"<figcaption>{said}</figcaption></figure>"
    )


def _grid(top: float, shown: Callable[[float], str]) -> str:
    drawn = []
    for tick in range(_TICKS + 1):
        value = top * tick / _TICKS
        y = _y(value, top)
        drawn.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        drawn.append(_text(_LEFT - 6, y + 4, shown(value), "end"))
    return "".join(drawn)


def _level(value: float, name: str, top: float) -> str:
    y = _y(value, top)
    line = f'<line class="mark" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(WIDTH - _RIGHT, y - 5, name, "end", "in-mark")


def _text(x: float, y: float, said: str, anchor: str, colour: str = "") -> str:
    of_class = f' class="{colour}"' if colour else ""
    return f'<text{of_class} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def _y(value: float, top: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * (value / top if top else 0)


def _round_up(value: float) -> float:
    """The next number that divides well into the ticks."""
    if value <= 0:
        return _TICKS
    if value <= 1:
        return 1.0
    size = 1
    while True:
        for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8) if size > 1 else range(1, 10):
            if value <= _TICKS * step * size:
                return float(_TICKS * step * size)
        size *= 10
