"""The notice that a channel takes nothing any more: a task like any other, told by another channel."""

from services.notifier.delivery.resting import ChannelState
from services.notifier.planning.contact import Contact
from services.notifier.planning.notices import DISABLED
from services.notifier.planning.plans import Plan, Times
from services.notifier.tasks.announce import Delivery
from shared.clock import from_us, rfc3339
from shared.config import Config
from shared.triggers import CustomerFacts, StreakFacts, Trigger, TriggerData, trigger_id


def disabled_trigger(state: ChannelState, told_of: Delivery) -> Trigger:
    """The notice in the shape of every other trigger; its customer is the channel since that instant.

    It belongs to the product whose delivery found it out, and is the same however often it is found out. A
    channel that was enabled and refuses again is news, though nobody has closed the notice before.
    """
    at_us = state.disabled_us or 0
    since = rfc3339(at_us)
    return Trigger(
        id=trigger_id(
            product=told_of.product,
            customer_id="",
            rule=state.channel,
            type=DISABLED,
            day=since,
            episode="",
        ),
        type=DISABLED,
        timestamp=since,
        data=TriggerData(
            product=told_of.product,
            rule=state.channel,
            day=from_us(at_us).date(),
            decided_at=since,
            streak=StreakFacts(length=0, calendar_days=0, started_on=None, last_active_on=None),
            customer=CustomerFacts(id=f"{state.channel}/{since}", name=f"{state.channel}: {state.reason}"),
        ),
    )


def disabled_plan(state: ChannelState, config: Config, now_us: int) -> Plan:
    """The notice stands in the inbox, and goes at once to the channel that is to hear of it."""
    section = config.channels.get(state.channel)
    notified = section.notify if section is not None else None
    return Plan(
        kind="note",
        title={
            "ja": "通知チャネルが停止しました。設定を確認してください",
            "en": "A channel takes no more messages: look at its settings",
        },
        owner=None,
        channels=(notified,) if notified is not None else (),
        contact=Contact(zone="UTC"),
        lifetime_us=None,
        times=Times(notify_us=now_us, due_us=None, expires_us=None),
    )
