"""Which settings are worth trying beside the present ones, and how each is said. Pure."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

import msgspec

from services.commands.backtesting.sweep import Setting, Swept

CUTOFFS: Final = (None, 18 * 60, 14 * 60, 10 * 60)
MIN_STREAKS: Final = (1, 3, 7, 14, 28)
MIN_SURPRISES: Final = (0.0, 0.8, 0.9, 0.95, None, 0.98)

HEADINGS: Final = ("setting", "stops", "false", "1st day", "2nd day")


def cutoffs(own: Setting, *, has_times: bool) -> list[int | None]:
    """The present one first; where days alone are known no other, for a use is then in time for any."""
    others = [cutoff for cutoff in CUTOFFS if cutoff != own.cutoff] if has_times else []
    return [own.cutoff, *others]


def around(own: Setting, *, has_times: bool) -> list[Setting]:
    """The present setting first, then those that differ from it in one thing."""
    changed: list[Setting] = [own]
    for cutoff in cutoffs(own, has_times=has_times)[1:]:
        changed.append(msgspec.structs.replace(own, cutoff=cutoff))
    for min_streak in MIN_STREAKS:
        changed.append(msgspec.structs.replace(own, min_streak=min_streak))
    for min_surprise in MIN_SURPRISES:
        changed.append(msgspec.structs.replace(own, min_surprise=min_surprise))
    return [changed[0], *(setting for setting in changed if setting != own)]


def grid(own: Setting, *, has_times: bool) -> Iterator[Setting]:
    """Every combination."""
    streaks = sorted({own.min_streak, *MIN_STREAKS})
    surprises = list(dict.fromkeys((*MIN_SURPRISES, own.min_surprise)))
    for cutoff, min_streak, min_surprise in product(cutoffs(own, has_times=has_times), streaks, surprises):
        yield Setting(cutoff=cutoff, min_streak=min_streak, min_surprise=min_surprise)


def words(setting: Setting) -> str:
    """As it stands in a configuration, more or less."""
    return ", ".join(_parts(setting))


def change(setting: Setting, own: Setting) -> str:
    """Only what differs from the present setting."""
    if setting == own:
        return f"as it is: {words(own)}"
    different = [a for a, b in zip(_parts(setting), _parts(own), strict=True) if a != b]
    return ", ".join(different)


def figures(swept: Swept) -> tuple[str, ...]:
    """The cells under HEADINGS, but for the first."""
    return (
        f"{swept.stops:.1f}",
        f"{swept.false_stops:.1f}",
        f"{swept.first_day:.0%}",
        f"{swept.second_day:.0%}",
    )


def _parts(setting: Setting) -> Sequence[str]:
    cutoff = "end of day" if setting.cutoff is None else f"{setting.cutoff // 60:02}:{setting.cutoff % 60:02}"
    return (f"cutoff {cutoff}", f"min_streak {setting.min_streak}", _surprise(setting.min_surprise))


def _surprise(min_surprise: float | None) -> str:
    if min_surprise is None:
        return "min_surprise by customer"
    return f"min_surprise {min_surprise:g}" if min_surprise else "expect calendar"
