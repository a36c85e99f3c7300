"""A customer's last weeks as a calendar: which days were used, missed or not expected. Pure."""

from collections.abc import Sequence
from datetime import date, timedelta

import msgspec

from services.notifier.messages.words import Words
from services.notifier.parts import Day


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A day in the calendar: its column (week) and row (weekday), what it was, and its words."""

    column: int
    row: int
    kind: str
    said: str


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Weeks as columns, Monday on top; `months` are the columns at which one begins."""

    cells: tuple[Cell, ...]
    months: tuple[tuple[int, str], ...]
    weekdays: tuple[str, ...]
    column_count: int


def calendar_of(days: Sequence[Day], missed_on: date | None, words: Words) -> Calendar | None:
    """The days up to today as a calendar; None where there are none."""
    if not days:
        return None
    first = days[0].day - timedelta(days=days[0].day.weekday())
    cells = tuple(_cell(day, first, missed_on, days[-1].day, words) for day in days)
    months = []
    for day in days:
        if day.day.day == 1 or day is days[0]:
            months.append(((day.day - first).days // 7, words.month(day.day)))
    spaced = [m for i, m in enumerate(months) if i + 1 == len(months) or months[i + 1][0] - m[0] > 1]
    return Calendar(
        cells=cells,
        months=tuple(spaced),
        weekdays=tuple(words.weekday_short(n) for n in range(7)),
        column_count=cells[-1].column + 1,
    )


def _cell(day: Day, first: date, missed_on: date | None, today: date, words: Words) -> Cell:
    n = (day.day - first).days
    kind = "active" if day.active else "missed" if day.expected else "closed"
    said = {
        "active": words.say("used"),
        "missed": words.say("expected, not used"),
        "closed": words.say("not expected"),
    }[kind]
    if day.day == missed_on and not day.active:
        kind = "stop"
    elif day.day == today and kind == "missed":
        kind, said = "open", words.say("not over yet")
    return Cell(column=n // 7, row=n % 7, kind=kind, said=f"{words.day(day.day)}: {said}")
