"""The short ways end where the long way does: in what is told, kept and awaited.

Two of them: an event of a quiet stretch is passed over, and a plain use changes its day and no more.
"""

from collections.abc import Callable, Iterator
from random import Random

import msgspec
import pytest

from services.evaluator import engine
from services.evaluator.core.state import CustomerState
from shared.events import Event
from tests.histories import DAY_US, EVENTS, HOUR_US, MINUTE_US, History, drawn, habitual, with_rising_times
from tests.histories_of_rules import FACTS, counting, edited
from tests.oracle.log import Entry
from tests.property.partition_reader import PartitionReader
from tests.property.scale import seeds

PLAIN_MIN = 1
"""So many uses of each history go the short way at least, on the average."""

DRAWS: dict[str, tuple[Callable[[int], History], int]] = {
    "any": (drawn, 60),
    "counts-and-declines": (counting, 60),
    "edits": (edited, 60),
    "long-habits": (habitual, 8),
}


@pytest.mark.parametrize(("draw", "count"), DRAWS.values(), ids=DRAWS)
def test_a_short_way_ends_where_the_long_way_does(
    draw: Callable[[int], History], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every fetch: the same rows of the outbox (so the same instants decided), the same stored state,
    byte for byte, and the same due instant."""
    passed_over_count = 0
    plain = Counted(engine._short_way)
    monkeypatch.setattr(engine, "_short_way", plain)
    for seed in seeds(count, share=0.05):
        history = draw(seed)
        short, whole = (PartitionReader(history.section, remembers=remembers) for remembers in (True, False))
        for n, fetched in enumerate(fetches(Random(seed), busy(history))):
            told = short.read(fetched)
            with monkeypatch.context() as patched:
                patched.setattr(engine, "_short_way", the_long_way)
                assert told == whole.read(fetched), f"seed {seed}, fetch {n}"
            assert short.row == whole.row, f"seed {seed}, fetch {n}"
        passed_over_count += short.passed_over_count
        assert whole.passed_over_count == 0
    assert passed_over_count > 5 * count
    assert plain.count > PLAIN_MIN * count


class Counted:
    """The short way of a plain use, and how often it was gone."""

    def __init__(self, short_way: Callable[..., CustomerState | None]) -> None:
        self.count = 0
        self._short_way = short_way

    def __call__(self, *arguments: object) -> CustomerState | None:
        after = self._short_way(*arguments)
        self.count += after is not None
        return after


def the_long_way(*_: object) -> None:
    """No use is plain."""


def busy(history: History) -> list[Entry]:
    """The log with more events of the same days, most of them alike, read soon or long after."""
    random = Random(f"busy {history.seed}")
    entries = list(history.log)
    for entry in history.log:
        message = entry.message
        if isinstance(message, Event) and message.occurred_us is not None:
            entries += [_another(random, entry, message) for _ in range(random.choice((0, 1, 2, 6)))]
    entries.sort(key=lambda entry: entry.appended_us)
    return with_rising_times(entries)


def fetches(random: Random, log: list[Entry]) -> Iterator[list[Entry]]:
    """The log in pieces: a sweep comes after each of them, or where it must."""
    begin = 0
    while begin < len(log):
        count = random.choice((1, 1, 2, 5))
        yield log[begin : begin + count]
        begin += count


def _another(random: Random, entry: Entry, event: Event) -> Entry:
    """An event of the same hours, or the same event again."""
    assert event.occurred_us is not None
    other = msgspec.structs.replace(
        event,
        event_id=random.choice((event.event_id, f"{event.event_id}/{random.random()}")),
        event=random.choice((event.event, event.event, event.event, *EVENTS)),
        occurred_us=event.occurred_us + random.choice((0, 1, random.randint(-6, 6) * HOUR_US)),
        properties=random.choice((event.properties, event.properties, *FACTS)),
        backfill=random.random() < (0.5 if event.backfill else 0.02),
    )
    delay_us = random.choice((0, MINUTE_US, 3 * HOUR_US, random.randint(0, 4) * DAY_US, 36 * DAY_US))
    return Entry(entry.appended_us + delay_us, other)
