"""Whatever triggers, people and time do, in whatever order: no call is lost, doubled or left uncorrected."""

from datetime import date, timedelta
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from services.notifier.tasks.announce import ENDS, Delivery
from services.notifier.tasks.folding import take_trigger, warm
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.lifecycle import (
    OUTCOMES,
    Step,
    Task,
    acknowledge,
    assign,
    finish,
    notified,
    reopen,
    snooze,
)
from services.notifier.tasks.turns import freed, waits, woken
from shared.config import Config
from shared.errors import Conflict
from shared.triggers import Trigger, encode_trigger
from tests.unit.notifier.cases import DAY, HOUR, NOON, config, follow_up, resumption, retraction, stop

CUSTOMERS = ("c-1", "c-2")
PLAYBOOKS: tuple[dict[str, Any], ...] = (
    {},
    {"cooldown": "5d"},
    {"damping": {"returns": 1, "within": "9d", "wait": "2d"}},
    {"cooldown": "2d", "damping": {"returns": 2, "within": "20d", "wait": "4d"}},
    {"task": {"expires": "2d"}, "escalate": [{"after": "1h", "to": "backup"}, {"after": "2h", "to": "lead"}]},
    {"task": {"contact_window": "18:00-20:00", "expires": "end_of_day"}, "cooldown": "1d"},
)
ACTS = ("take", "put off", "done", "undo", "give")
ALSO: tuple[list[dict[str, Any]], ...] = (
    [],
    [{"on": "usage.stopped.retracted", "send": ["cs-slack", "phone"], "task": {"kind": "note"}}],
    [{"on": "usage.resumed", "send": ["phone"], "task": {"kind": "note"}}],
)


class Life(RuleBasedStateMachine):
    """Two customers of one rule: what an evaluator tells of them, and what becomes of their calls."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: Config = config()
        self.tasks: dict[str, Task] = {}
        self.deliveries: dict[str, Delivery] = {}
        self.known: dict[str, str] = {}
        self.now_us = NOON
        self.day = dict.fromkeys(CUSTOMERS, 0)
        self.episode: dict[str, list[Trigger]] = {customer: [] for customer in CUSTOMERS}
        self.standing: dict[str, Trigger] = {}
        self.undone: set[str] = set()

    @initialize(call=st.sampled_from(PLAYBOOKS), also=st.sampled_from(ALSO))
    def configured(self, call: dict[str, Any], also: list[dict[str, Any]]) -> None:
        first = {"on": "usage.stopped", "send": ["cs-slack", "phone"], **call}
        self.settings = config(playbooks=[first, *also])

    # What an evaluator tells

    @rule(customer=st.sampled_from(CUSTOMERS), after=st.integers(1, 4))
    def falls_silent(self, customer: str, after: int) -> None:
        """The first missed day of an episode, or a later one that the rule names."""
        self.day[customer] += after
        self._time_is(self.day[customer])
        episode = self.episode[customer]
        trigger = stop(customer, self._date(customer), episode_day=len(episode) + 1)
        episode.append(trigger)
        self.standing[trigger.id] = trigger
        self._read(trigger)

    @rule(customer=st.sampled_from(CUSTOMERS), after=st.integers(0, 3))
    def comes_back(self, customer: str, after: int) -> None:
        episode = self.episode[customer]
        if not episode:
            return
        self.day[customer] += after
        self._time_is(self.day[customer])
        for trigger in episode:
            self.standing.pop(trigger.id, None)
        self._read(resumption(episode[0], self._date(customer)))
        self.episode[customer] = []

    @rule(customer=st.sampled_from(CUSTOMERS), moves=st.booleans())
    def was_there_after_all(self, customer: str, moves: bool) -> None:
        """A late event takes the last stop back; where the following day was missed too, it moves there."""
        episode = self.episode[customer]
        if not episode:
            return
        last = episode.pop()
        del self.standing[last.id]
        self._read(retraction(last))
        if moves:
            self.falls_silent(customer, 1)

    @rule(customer=st.sampled_from(CUSTOMERS))
    def reaches_a_habit(self, customer: str) -> None:
        """Of no concern to any call."""
        self._read(follow_up(stop(customer), "onboarding.completed", self._date(customer)))

    @precondition(lambda self: self.standing)
    @rule(chance=st.randoms(use_true_random=False))
    def is_read_again(self, chance: Any) -> None:
        before = self.tasks
        self._read(self.standing[chance.choice(sorted(self.standing))])
        assert self.tasks == before

    # What people do

    @precondition(lambda self: self.tasks)
    @rule(chance=st.randoms(use_true_random=False), what=st.sampled_from(ACTS))
    def somebody_acts(self, chance: Any, what: str) -> None:
        task, now_us = self.tasks[chance.choice(sorted(self.tasks))], self.now_us
        until_us = now_us + chance.choice((HOUR, 3 * DAY))
        decided = {
            "take": lambda: acknowledge(task, "csm-1", now_us),
            "put off": lambda: snooze(task, "csm-1", until_us, "", now_us),
            "done": lambda: finish(task, "csm-1", chance.choice(OUTCOMES), "", now_us),
            "undo": lambda: reopen(task, "csm-1", now_us),
            "give": lambda: assign(task, "csm-1", "csm-2", now_us),
        }
        if what == "undo" and not task.is_live and self._live_like(task):
            return  # The desk refuses this one.
        try:
            self._take(decided[what]())
        except Conflict:
            assert not task.is_live or what in ("take", "undo")
        else:
            self.undone |= {task.id} if what == "undo" else set()

    # What time, channels and the guard do

    @rule(hours=st.sampled_from((1, 3, 30, 24 * 6)))
    def time_passes(self, hours: int) -> None:
        until_us = self.now_us + hours * HOUR
        while due := [(t.wake_us, t.id) for t in self.tasks.values() if t.wake_us and t.wake_us <= until_us]:
            self.now_us, task_id = max(self.now_us, min(due)[0]), min(due)[1]
            ledger = self._ledger()
            ledger.take(woken(self.tasks[task_id], self.now_us), self.now_us)
            warm(ledger, self.tasks[task_id], self.settings, self.now_us)
            self._keep(ledger)
        self.now_us = until_us
        for customer in CUSTOMERS:
            self.day[customer] = max(self.day[customer], (self.now_us - NOON) // DAY)

    @rule()
    def everything_due_is_delivered(self) -> None:
        for delivery in [d for d in self.deliveries.values() if d.state == "pending"]:
            if delivery.next_attempt_us is not None and delivery.next_attempt_us <= self.now_us:
                arrived = msgspec.structs.replace(delivery, state="delivered", next_attempt_us=None)
                self.deliveries[delivery.id] = arrived
                if delivery.kind not in ENDS:
                    self._take(notified(self.tasks[delivery.task_id], delivery.channel, self.now_us))

    @precondition(lambda self: any(t.is_live and t.held is None for t in self.tasks.values()))
    @rule(chance=st.randoms(use_true_random=False))
    def the_guard_holds_and_lets_go(self, chance: Any) -> None:
        task = chance.choice([t for t in self.tasks.values() if t.is_live and t.held is None])
        held = msgspec.structs.replace(task, held="an outage")
        self.tasks[task.id] = held
        self._take(waits(held, 9, 90, self.now_us))
        held = self.tasks[task.id]
        self._take(freed(held, self.now_us, actor="system", unverified=False, is_told=True))

    # What always holds

    @invariant()
    def one_open_task_a_customer_rule_and_type(self) -> None:
        keys = [(t.customer_id, t.rule, t.trigger.type) for t in self.tasks.values() if t.is_live]
        assert len(set(keys)) == len(keys)

    @invariant()
    def every_stop_that_stands_is_in_somebodys_hands_or_was(self) -> None:
        held = {fact.id for task in self.tasks.values() for fact in task.raised}
        noted = {f.id for t in self.tasks.values() if t.cooling is not None for f in t.cooling.raised}
        assert self.standing.keys() <= held | noted
        assert all(t.wake_us is not None for t in self.tasks.values() if t.cooling is not None)

    @invariant()
    def no_call_is_open_for_what_is_over(self) -> None:
        noted = [t.cooling.raised for t in self.tasks.values() if t.cooling is not None]
        assert all(self.standing.keys() & {fact.id for fact in facts} for facts in noted)
        # Who undoes an outcome has the call in hand to give it another, whatever became of the stop since.
        calls = [
            task
            for task in self.tasks.values()
            if task.is_live and task.plan.kind == "call" and task.id not in self.undone
        ]
        assert all(self.standing.keys() & {fact.id for fact in task.raised} for task in calls)

    @invariant()
    def what_was_announced_and_is_over_was_corrected(self) -> None:
        for task in self.tasks.values():
            if task.state != "cancelled":
                continue
            sent = [d for d in self.deliveries.values() if d.task_id == task.id]
            told = {d.channel for d in sent if d.kind not in ENDS and d.state == "delivered"}
            corrected = {d.channel for d in self.deliveries.values() if self._ends(d, task)}
            assert told <= corrected

    @invariant()
    def nothing_goes_out_for_a_closed_task_but_its_end(self) -> None:
        for delivery in self.deliveries.values():
            if delivery.state in ("pending", "held") and delivery.kind not in ENDS:
                assert self.tasks[delivery.task_id].is_live

    # How it is kept

    def _ends(self, delivery: Delivery, task: Task) -> bool:
        """A machine hears of each trigger once, whichever task it ends."""
        is_of_it = delivery.task_id == task.id or self.tasks[delivery.task_id].customer_id == task.customer_id
        return delivery.kind == "closed" and delivery.state != "cancelled" and is_of_it

    def _live_like(self, task: Task) -> bool:
        alike = (task.customer_id, task.trigger.type)
        return any((t.customer_id, t.trigger.type) == alike for t in self.tasks.values() if t.is_live)

    def _ledger(self) -> Ledger:
        return Ledger(
            channels=self.settings.channels,
            tasks=self.tasks.values(),
            deliveries=self.deliveries.values(),
            known=self.known,
        )

    def _read(self, trigger: Trigger) -> None:
        ledger = self._ledger()
        take_trigger(ledger, trigger, encode_trigger(trigger), self.settings, self.now_us)
        self._keep(ledger)

    def _take(self, step: Step) -> None:
        ledger = self._ledger()
        ledger.take(step, self.now_us)
        self._keep(ledger)

    def _keep(self, ledger: Ledger) -> None:
        self.tasks = {**self.tasks, **ledger.changed}
        self.known = ledger.known
        self.deliveries = {d.id: d for task_id in self.tasks for d in ledger.deliveries_of(task_id)}

    def _time_is(self, day: int) -> None:
        self.time_passes(0)
        self.now_us = max(self.now_us, NOON + day * DAY)

    def _date(self, customer: str) -> str:
        return (date(2026, 3, 2) + timedelta(days=self.day[customer])).isoformat()


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)
