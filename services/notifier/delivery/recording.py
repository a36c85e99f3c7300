"""Writes how attempts ended: their deliveries, their tasks, what they say of their channels."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notifier.channels.channel import Result
from services.notifier.delivery import channel_rows, outgoing
from services.notifier.delivery.outgoing import Attempt, Mark
from services.notifier.delivery.resting import ChannelState, after
from services.notifier.delivery.trouble import disabled_plan, disabled_trigger
from services.notifier.messages.letter import Letter
from services.notifier.planning.zones import instant_of
from services.notifier.store.ledgers import ledger_of, write
from services.notifier.tasks.announce import ENDS, Delivery, face
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.lifecycle import notified
from services.notifier.tasks.turns import raised
from shared import tracing
from shared.config import Config
from shared.metrics import DELIVERIES, STOP_TO_DELIVERED_SECONDS
from shared.triggers import encode_trigger

log = structlog.get_logger()


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A letter that is dealt with and not recorded yet; `attempt` None: it was not sent after all."""

    letter: Letter
    mark: Mark
    result: Result | None = None
    attempt: Attempt | None = None

    @property
    def arrived(self) -> bool:
        return self.mark.state == "delivered"


async def write_sent(
    connection: AsyncConnection,
    sent: Sequence[Sent],
    states: Mapping[str, ChannelState],
    config: Config,
    now_us: int,
) -> None:
    """Everything that has ended; `states` is what was last known of channels.

    Tasks are locked before deliveries, as everywhere, and channels last.
    """
    ledger = await _tasks_of(connection, sent, config)
    _notice_arrivals(ledger, sent, now_us)
    await outgoing.record(
        connection, [s.mark for s in sent], [s.attempt for s in sent if s.attempt is not None]
    )
    await _write_states(connection, ledger, sent, states, config, now_us)
    await write(connection, ledger)


async def _tasks_of(connection: AsyncConnection, sent: Sequence[Sent], config: Config) -> Ledger:
    """The tasks about which an arrival says something."""
    told = {s.letter.task.id for s in sent if s.arrived and s.letter.delivery.kind not in ENDS}
    first = {s.letter.task.id for s in sent if s.letter.task.state == "open"}
    shown = {s.letter.task.id for s in sent if s.mark.reference}
    concerned = told & (first | shown)
    if not concerned:
        return Ledger(channels=config.channels)
    return await ledger_of(connection, concerned, config.channels)


def _notice_arrivals(ledger: Ledger, sent: Sequence[Sent], now_us: int) -> None:
    for one in sorted(sent, key=lambda s: s.letter.delivery.id):
        task = ledger.task(one.letter.task.id)
        if task is None or not one.arrived or one.letter.delivery.kind in ENDS:
            continue
        if one.mark.reference and face(task) != face(one.letter.task):
            # It changed while it was on its way: what arrived is out of date already.
            ledger.show_anew(task, _as_delivered(one), now_us)
        ledger.take(notified(task, one.letter.delivery.channel, now_us), now_us)


def _as_delivered(sent: Sent) -> Delivery:
    return msgspec.structs.replace(
        sent.letter.delivery, state="delivered", lease_until_us=None, reference=sent.mark.reference
    )


async def _write_states(
    connection: AsyncConnection,
    ledger: Ledger,
    sent: Sequence[Sent],
    states: Mapping[str, ChannelState],
    config: Config,
    now_us: int,
) -> None:
    ended: defaultdict[str, list[Sent]] = defaultdict(list)
    for one in sent:
        if one.result is not None:
            ended[one.letter.delivery.channel].append(one)
    news = [channel for channel, those in ended.items() if _is_news(states.get(channel), those)]
    if not news:
        return
    for channel, state in (await channel_rows.locked(connection, news)).items():
        changed = _folded(state, ended[channel])
        if changed == state:
            continue
        await channel_rows.put(connection, changed)
        if changed.disabled_us is not None and state.disabled_us is None:
            _tell(ledger, changed, ended[channel], config, now_us)


def _is_news(state: ChannelState | None, ended: Sequence[Sent]) -> bool:
    """Whether these attempts may say something new of their channel; most say that all is well."""
    was_failing = state is not None and state.failure_count > 0
    return was_failing or any(
        s.result is not None and s.result.verdict in ("retry", "disabled") for s in ended
    )


def _folded(state: ChannelState, ended: Sequence[Sent]) -> ChannelState:
    # The letters of one message share its result, which is one attempt at the channel.
    for one in {id(s.result): s for s in ended}.values():
        if one.result is not None and one.attempt is not None:
            begun_us, took_us = one.attempt.at_us, one.attempt.took_us
            state = after(state, one.result, begun_us=begun_us, now_us=begun_us + took_us)
    return state


def _tell(ledger: Ledger, state: ChannelState, ended: Sequence[Sent], config: Config, now_us: int) -> None:
    log.error("a channel takes no more messages", channel=state.channel, reason=state.reason)
    trigger = disabled_trigger(state, ended[-1].letter.delivery)
    ledger.learn(trigger, encode_trigger(trigger), trigger.id, now_us)
    ledger.take(raised(None, trigger, disabled_plan(state, config, now_us), now_us), now_us)


def count(sent: Sequence[Sent]) -> None:
    """What is committed, as figures."""
    for one in sent:
        if one.attempt is not None:
            _count(one, one.attempt)


def _count(sent: Sent, attempt: Attempt) -> None:
    delivery = sent.letter.delivery
    DELIVERIES.labels(delivery.channel, attempt.result).inc()
    if sent.arrived and delivery.kind == "opened":
        decided_us = instant_of(sent.letter.trigger.data.decided_at)
        STOP_TO_DELIVERED_SECONDS.observe(max(0, attempt.at_us - decided_us) / 1_000_000)
    _say(sent, attempt)


def _say(sent: Sent, attempt: Attempt) -> None:
    """A line an attempt, with every id by which somebody may look for it."""
    delivery = sent.letter.delivery
    told: dict[str, object] = {
        "delivery": delivery.id,
        "trigger": delivery.trigger_id,
        "task": delivery.task_id,
        "product": delivery.product,
        "customer": delivery.customer_id,
        "channel": delivery.channel,
        "attempt": delivery.attempt_count,
        "took_ms": attempt.took_us // 1000,
        **tracing.log_ids(sent.letter.traceparent),
    }
    if sent.arrived:
        log.info("a delivery arrived", **told)
    elif sent.mark.state == "pending":
        log.warning("a delivery failed and is tried again", detail=attempt.detail, **told)
    elif sent.mark.state == "dead":
        log.error("a delivery is given up; it can be replayed", detail=attempt.detail, **told)
    else:
        log.info("a delivery was not wanted any more", detail=attempt.detail, **told)
