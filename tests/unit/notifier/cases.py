"""Triggers, plans and tasks for the notifier's tests, with the instants written as people read them."""

from datetime import date, datetime
from typing import Any

from services.notifier.planning.contact import Contact
from services.notifier.planning.plans import Escalation, Plan, Times
from services.notifier.tasks.lifecycle import Task
from services.notifier.tasks.turns import raised
from shared.clock import to_us
from shared.config import Config
from shared.triggers import CustomerFacts, Reason, StreakFacts, Trigger, TriggerData, trigger_id

MINUTE = 60 * 1_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def at(text: str) -> int:
    """`2026-03-02T14:15+09:00` in microseconds since the epoch."""
    return to_us(datetime.fromisoformat(text))


NOON = at("2026-03-02T14:15+09:00")


def stop(
    customer_id: str = "c-17",
    day: str = "2026-03-02",
    *,
    type: str = "usage.stopped",
    rule: str = "usage-stopped",
    product: str = "reserve",
    episode_day: int = 1,
    surprise: float = 0.97,
    reasons: tuple[Reason, ...] = (),
    **facts: Any,
) -> Trigger:
    """A stop of a customer on a day, cutoff at 14:00 in Tokyo."""
    facts = {"name": "割烹 さくら", "time_zone": "Asia/Tokyo", **facts}
    return Trigger(
        id=trigger_id(product=product, customer_id=customer_id, rule=rule, type=type, day=day, episode=day),
        type=type,
        timestamp=f"{day}T05:00:00Z",
        data=TriggerData(
            product=product,
            rule=rule,
            day=date.fromisoformat(day),
            cutoff_at=f"{day}T05:00:00Z",
            decided_at=f"{day}T05:15:01Z",
            surprise=surprise,
            reasons=reasons,
            episode_day=episode_day,
            streak=StreakFacts(
                length=41,
                calendar_days=41,
                started_on=date(2026, 1, 20),
                last_active_on=date(2026, 3, 1),
            ),
            customer=CustomerFacts(id=customer_id, **facts),
        ),
    )


def follow_up(of: Trigger, type: str, day: str, **more: Any) -> Trigger:
    """A trigger that speaks of an earlier stop: `usage.resumed` or `usage.stopped.retracted`."""
    data = of.data
    return Trigger(
        id=trigger_id(
            product=data.product,
            customer_id=data.customer.id,
            rule=data.rule,
            type=type,
            day=day,
            episode=data.day.isoformat(),
        ),
        type=type,
        timestamp=f"{day}T09:00:00Z",
        data=TriggerData(
            product=data.product,
            rule=data.rule,
            day=date.fromisoformat(day),
            decided_at=f"{day}T09:00:00Z",
            stopped_id=of.id,
            streak=data.streak,
            customer=data.customer,
            **more,
        ),
    )


def resumption(of: Trigger, day: str = "2026-03-03") -> Trigger:
    return follow_up(of, "usage.resumed", day, missed_days=1)


def retraction(of: Trigger) -> Trigger:
    return follow_up(of, "usage.stopped.retracted", of.data.day.isoformat(), cutoff_at=of.data.cutoff_at)


def plan(
    *,
    channels: tuple[str, ...] = ("cs-slack", "phone"),
    owner: str | None = "csm-1",
    notify_us: int = NOON,
    due_us: int | None = None,
    expires_us: int | None = None,
    escalate: dict[str, int] | None = None,
    **more: Any,
) -> Plan:
    """`escalate`: who hears of it, how long after it went out, at any hour."""
    steps = [
        Escalation(after_us=after_us, to=to, hours=Contact(zone="Asia/Tokyo"))
        for to, after_us in (escalate or {}).items()
    ]
    return Plan(
        kind="call",
        title={"ja": "利用が止まりました", "en": "Usage stopped"},
        owner=owner,
        channels=channels,
        contact=more.pop("contact", Contact(zone="Asia/Tokyo")),
        lifetime_us=more.pop("lifetime_us", None),
        times=Times(
            notify_us=notify_us,
            due_us=due_us,
            expires_us=expires_us,
            escalate_us=tuple(notify_us + step.after_us for step in steps),
        ),
        escalations=tuple(steps),
        **more,
    )


def task(trigger: Trigger | None = None, **plan_values: Any) -> Task:
    """An open task of a stop."""
    return raised(None, trigger or stop(), plan(**plan_values), NOON).task


SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def config(**product: Any) -> Config:
    """A product with one playbook for stops, two channels and two CSMs."""
    section = {
        "time_zone": "Asia/Tokyo",
        "day_starts_at": "05:00",
        "rules": {
            "onboarding": {"kind": "streak", "days": 28, "emit": "onboarding.completed"},
            "usage-stopped": {"kind": "absence", "cutoff": "14:00", "emit": "usage.stopped"},
        },
        "playbooks": [{"on": "usage.stopped", "send": ["cs-slack", "phone"]}],
    }
    return Config.model_validate(
        {
            "products": {"reserve": {**section, **product}, "other": {}},
            "channels": {
                "cs-slack": {"kind": "slack", "url": "https://hooks.example/slack", "language": "ja"},
                "phone": {"kind": "webhook", "url": "https://phone.example/in", "secret": SECRET},
            },
            "csms": {
                "csm-1": {
                    "name": "佐藤",
                    "time_zone": "Asia/Tokyo",
                    "hours": "00:00-23:59",
                    "backup": "csm-2",
                    "lead": "csm-2",
                    "language": "ja",
                },
                "csm-2": {"name": "Ito", "time_zone": "Asia/Tokyo", "hours": "09:00-18:00"},
            },
        }
    )
