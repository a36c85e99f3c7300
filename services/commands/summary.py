"""The summary of a backtest, as a customer success lead wants to read it; pure: facts in, text out."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from statistics import median
from typing import TYPE_CHECKING, TypeVar

from services.commands.backtesting.telling import (
    Aids,
    bars,
    foresight_lines,
    kinds_lines,
    listed,
    loads_lines,
    sweep_lines,
)
from shared.config import AbsenceRuleSection, Config, StreakRuleSection
from shared.triggers import RESUMED, Trigger

if TYPE_CHECKING:
    from services.commands.calls import Call
    from services.commands.histories import History, Replay

TOP_MAX = 3
_RULES_MAX = 5
_ENDS = ((1, "by the next day"), (7, "within a week"), (30, "within 30 days"))

_Key = TypeVar("_Key")
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def summarize(
    history: "History", replay: "Replay", config: Config, product: str, aids: Aids, *, left_out: str
) -> str:
    """One screen of plain text: what was read, the calls and who gets them, how the stops ended.

    With a sweep, its settings take the place of the days and customers called most.
    """
    parts = [
        read_lines(history, replay, product, left_out),
        _calls(replay, len(history.uses)),
        _endings(replay, config, product),
        _habits(replay, config, product, len(history.uses)),
        _rules(replay.calls),
        loads_lines(aids.loads),
    ]
    if aids.sweeps:
        parts += [sweep_lines(sweep) for sweep in aids.sweeps]
    else:
        parts += [_weekdays(replay), kinds_lines(aids.kinds), _busiest(replay), _most_called(replay.calls)]
    if aids.foresight is not None:
        parts.append(foresight_lines(aids.foresight, aids.outcome_reading))
    return "\n\n".join("\n".join(part) for part in parts if part)


def facts(replay: "Replay", customer_count: int) -> list[tuple[str, str]]:
    """The calls in a few figures."""
    days = _day_count(replay)
    return [
        ("calls", f"{len(replay.calls):,}"),
        ("a day", f"{len(replay.calls) / days:.1f}"),
        ("a customer and year", f"{len(replay.calls) / customer_count / days * 365:.1f}"),
    ]


def read_lines(history: "History", replay: "Replay", product: str, left_out: str) -> list[str]:
    """What was read, and what was left out."""
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
    stops, shares = endings(replay, config, product)
    if not stops:
        return []
    return [
        f"Stops: {len(stops):,}",
        *(f"  {_share(count, len(stops))} {when}" for when, count in shares),
    ]


def endings(
    replay: "Replay", config: Config, product: str
) -> tuple[Mapping[str, Trigger], list[tuple[str, int]]]:
    """How many stops ended, and how soon: a stop that ends by itself the next day was hardly worth a call."""
    stops = {trigger.id: trigger for trigger in _first_stops(replay, config, product)}
    waits = [
        (trigger.data.day - stops[trigger.data.stopped_id].data.day).days
        for trigger in replay.triggers
        if trigger.type == RESUMED and trigger.data.stopped_id in stops
    ]
    ended = [(f"in use again {when}", sum(wait <= days for wait in waits)) for days, when in _ENDS]
    return stops, [*ended, (f"not in use again by {replay.last_on}", len(stops) - len(waits))]


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
    return bars("Calls by weekday of the missed day", weekdays(replay.calls))


def weekdays(calls: Iterable["Call"]) -> list[tuple[str, int]]:
    """Calls by the weekday of the missed day, Monday first."""
    found = Counter(call.trigger.data.day.weekday() for call in calls)
    return [(_WEEKDAYS[n], found[n]) for n in range(7)]


def _busiest(replay: "Replay") -> list[str]:
    found = Counter(call.trigger.data.day for call in replay.calls)
    return listed("Busiest days", ((f"{day} {_WEEKDAYS[day.weekday()]}", n) for day, n in _most(found)))


def _most_called(calls: Sequence["Call"]) -> list[str]:
    found = Counter(call.trigger.data.customer.id for call in calls)
    names = {call.trigger.data.customer.id: _name(call.trigger) for call in calls}
    last: dict[str, date] = {call.trigger.data.customer.id: call.trigger.data.day for call in calls}
    return listed("Most called customers", ((names[id], f"{n:,}, last {last[id]}") for id, n in _most(found)))


def _name(trigger: Trigger) -> str:
    customer = trigger.data.customer
    return f"{customer.name} ({customer.id})" if customer.name else customer.id


def _most(found: "Counter[_Key]") -> Iterator[tuple[_Key, int]]:
    ranked = sorted(found.items(), key=lambda item: (-item[1], str(item[0])))
    yield from ranked[:TOP_MAX]


def _rules(calls: Iterable["Call"]) -> list[str]:
    """Where several rules call, how much each does."""
    found = Counter(call.trigger.data.rule for call in calls)
    return bars("Calls by rule", found.most_common(_RULES_MAX)) if len(found) > 1 else []


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:5.1f} % ({part:,})"


def _day_count(replay: "Replay") -> int:
    return (replay.last_on - replay.first_on).days + 1
