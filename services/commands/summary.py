"""The summary of a backtest, as a customer success lead wants to read it; pure: facts in, text out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from statistics import median
from typing import TYPE_CHECKING, TypeVar
from unicodedata import east_asian_width

from shared.config import AbsenceRuleSection, Config, StreakRuleSection
from shared.triggers import RESUMED, Trigger

if TYPE_CHECKING:
    from services.commands.backtest import History, Replay
    from services.commands.calls import Call

TOP_MAX = 5
BAR_CHARS = 24
NOBODY = "(no CSM named)"

_Key = TypeVar("_Key")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def summarize(history: "History", replay: "Replay", config: Config, product: str, *, left_out: str) -> str:
    """Lines of plain text: what was read, calls by day, rule and CSM, and how the stops ended."""
    parts = (
        _read(history, replay, product, left_out),
        _calls(replay, len(history.uses)),
        _endings(replay, config, product),
        _habits(replay, config, product, len(history.uses)),
        _table("Calls by rule", Counter(call.trigger.data.rule for call in replay.calls)),
        _table("Calls by CSM", Counter(call.owner or NOBODY for call in replay.calls)),
        _weekdays(replay),
        _months(replay),
        _busiest(replay),
        _most_called(replay.calls),
    )
    return "\n\n".join("\n".join(part) for part in parts if part)


def _read(history: "History", replay: "Replay", product: str, left_out: str) -> list[str]:
    days = _day_count(replay)
    span = f"{replay.first_on} to {replay.last_on} ({days} days)"
    lines = [f"{history.use_count:,} uses of {len(history.uses):,} customers, {span}, product {product}"]
    if left_out != "0":
        lines.append(f"left out: {left_out} lines, told above")
    unseen = len(history.profiles.keys() - history.uses.keys())
    if unseen:
        lines.append(f"{unseen:,} customers of the customers file have no use in the events")
    return lines


def _calls(replay: "Replay", customer_count: int) -> list[str]:
    count, days = len(replay.calls), _day_count(replay)
    if not count:
        return ["Calls: none"]
    by_day = Counter(call.trigger.data.day for call in replay.calls)
    yearly = count / customer_count / days * 365
    return [
        f"Calls: {count:,}",
        f"  {count / days:.1f} a day; {yearly:.1f} a customer and year",
        f"  on {len(by_day)} of {days} days; half of those days have {median(by_day.values()):g} or fewer,"
        f" the busiest {max(by_day.values())}",
    ]


def _endings(replay: "Replay", config: Config, product: str) -> list[str]:
    """How many stops ended, and how soon: a stop that ends by itself the next day was hardly worth a call."""
    stops = {trigger.id: trigger for trigger in _first_stops(replay, config, product)}
    if not stops:
        return []
    waits = [
        (trigger.data.day - stops[trigger.data.stopped_id].data.day).days
        for trigger in replay.triggers
        if trigger.type == RESUMED and trigger.data.stopped_id in stops
    ]
    gone = len(stops) - len(waits)
    return [
        f"Stops: {len(stops):,}",
        *(
            f"  {_share(sum(wait <= days for wait in waits), len(stops))} in use again {when}"
            for days, when in ((1, "by the next day"), (7, "within a week"), (30, "within 30 days"))
        ),
        f"  {_share(gone, len(stops))} not in use again by {replay.last_on}",
    ]


def _first_stops(replay: "Replay", config: Config, product: str) -> Iterator[Trigger]:
    """The stops that open an episode; reminders of the same silence are no stops of their own."""
    rules = config.products[product].rules
    silent: set[tuple[str, str]] = set()
    for trigger in replay.triggers:
        rule, place = rules.get(trigger.data.rule), (trigger.data.customer.id, trigger.data.rule)
        if trigger.data.stopped_id is not None:
            silent.discard(place)
        elif isinstance(rule, AbsenceRuleSection) and trigger.type == rule.emit and place not in silent:
            silent.add(place)
            yield trigger


def _habits(replay: "Replay", config: Config, product: str, customer_count: int) -> list[str]:
    lines = []
    for name, rule in config.products[product].rules.items():
        if isinstance(rule, StreakRuleSection):
            reached = {
                t.data.customer.id for t in replay.triggers if t.data.rule == name and t.type == rule.emit
            }
            lines.append(
                f"  {_share(len(reached), customer_count)} of the customers: {rule.emit} ({rule.days} days)"
            )
    return ["Streaks reached:", *lines] if lines else []


def _weekdays(replay: "Replay") -> list[str]:
    found = Counter(call.trigger.data.day.weekday() for call in replay.calls)
    return _bars("Calls by weekday of the missed day", [(_WEEKDAYS[n], found[n]) for n in range(7)])


def _months(replay: "Replay") -> list[str]:
    found = Counter(call.trigger.data.day.isoformat()[:7] for call in replay.calls)
    return _bars("Calls by month", [(month, found[month]) for month in _months_between(replay)])


def _months_between(replay: "Replay") -> list[str]:
    days = (replay.first_on + timedelta(days=n) for n in range(_day_count(replay)))
    return list(dict.fromkeys(day.isoformat()[:7] for day in days))


def _busiest(replay: "Replay") -> list[str]:
    found = Counter(call.trigger.data.day for call in replay.calls)
    return _top("Busiest days", ((f"{day} {_WEEKDAYS[day.weekday()]}", n) for day, n in _most(found)))


def _most_called(calls: Sequence["Call"]) -> list[str]:
    found = Counter(call.trigger.data.customer.id for call in calls)
    names = {call.trigger.data.customer.id: _name(call.trigger) for call in calls}
    last: dict[str, date] = {call.trigger.data.customer.id: call.trigger.data.day for call in calls}
    return _top("Most called customers", ((names[id], f"{n:,}, last {last[id]}") for id, n in _most(found)))


def _name(trigger: Trigger) -> str:
    customer = trigger.data.customer
    return f"{customer.name} ({customer.id})" if customer.name else customer.id


def _most(found: "Counter[_Key]") -> Iterator[tuple[_Key, int]]:
    ranked = sorted(found.items(), key=lambda item: (-item[1], str(item[0])))
    yield from ranked[:TOP_MAX]


def _table(title: str, found: "Counter[str]") -> list[str]:
    return _bars(title, found.most_common(20)) if found else []


def _bars(title: str, rows: Sequence[tuple[str, int]]) -> list[str]:
    most = max((count for _, count in rows), default=0)
    if not most:
        return []
    return _top(
        title,
        ((name, f"{count:>6,} {'▇' * round(BAR_CHARS * count / most)}".rstrip()) for name, count in rows),
    )


def _top(title: str, rows: Iterable[tuple[str, object]]) -> list[str]:
    shown = list(rows)
    width = max((_width(name) for name, _ in shown), default=0)
    return (
        [title, *(f"  {name}{' ' * (width - _width(name))}  {said}" for name, said in shown)] if shown else []
    )


def _width(text: str) -> int:
    """Columns on a terminal, where Japanese characters take two."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:5.1f} % ({part:,})"


def _day_count(replay: "Replay") -> int:
    return (replay.last_on - replay.first_on).days + 1
