"""Usage in rounds, each with new customers: habits, stops, late events that take them back, resumptions."""

from collections.abc import Iterator, Sequence
from contextlib import suppress

import httpx

from tests.faults.launching import Instance
from tests.faults.place import Place
from tests.faults.poster import Item, Poster, days_ago, use

CUSTOMERS_PER_ROUND = 6
SEEN_ONCE_PER_ROUND = 3
ROUNDS_MAX = 40
_STOPPED = "usage.stopped"
_RETRACTED = "usage.stopped.retracted"
_RESUMED = "usage.resumed"


async def play(place: Place, poster: Poster, on: Instance, number: int) -> None:
    """One round, step by step as its outcome can be seen; raises Ended when the process does not live on.

    Everybody forms a habit of six days and stops four days ago; a late event takes some of the stops back,
    which move a day on; some come back today; one has another zone from tomorrow on. Those seen only once
    are judged by nothing but the next tick's sweep.
    """
    names = [f"r{number}-{i}" for i in range(CUSTOMERS_PER_ROUND)]
    once = [f"r{number}-once-{i}" for i in range(SEEN_ONCE_PER_ROUND)]
    await _post(poster, on, [*_habits(names), *(use(name, on=days_ago(5), id=name) for name in once)])
    await place.until(lambda seen: seen.told(_STOPPED) >= {*names, *once}, alive=on)
    await _put(poster, on, names[-1])
    late, back = names[:2], names[1:4]
    await _post(poster, on, [use(name, on=days_ago(3), id=f"{name}-late") for name in late])
    await place.until(lambda seen: seen.told(_RETRACTED) >= set(late), alive=on)
    await _post(poster, on, [use(name, id=f"{name}-back") for name in back])
    await place.until(lambda seen: seen.told(_RESUMED) >= set(back), alive=on)


async def play_until_ended(place: Place, poster: Poster, on: Instance, *, first: int) -> None:
    """Rounds from the number `first` on until the process ends, which raises Ended; it has to end."""
    for number in range(first, first + ROUNDS_MAX):
        await play(place, poster, on, number)
    raise AssertionError(f"{on.name} lived through {ROUNDS_MAX} rounds")


def _habits(names: list[str]) -> Iterator[Item]:
    for name in names:
        for ago in range(9, 3, -1):
            yield use(name, on=days_ago(ago), id=f"{name}-{ago}")


async def _post(poster: Poster, on: Instance, items: Sequence[Item]) -> None:
    """Until it is acknowledged, as a product does."""
    if await poster.post(on, items) != 202:
        await poster.repeat(on)


async def _put(poster: Poster, on: Instance, name: str) -> None:
    # A profile is not repeated: whether it arrived, the log says.
    with suppress(httpx.HTTPError):
        await poster.put_customer(on, name, {"name": name, "time_zone": "Asia/Tokyo"})
