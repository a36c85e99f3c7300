"""What a run is made of, drawn from its seed: products, customers, their habits, and what they send."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

import msgspec

from shared.clock import from_us, rfc3339, to_us
from shared.config import Config

SECOND_US = 1_000_000
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
PRODUCTS = ("shop", "till")
LATE_WINDOW_DAYS = 7
STARTS_ON = (
    # Around changes of clocks in the zones below, and an ordinary week.
    date(2026, 3, 2),
    date(2026, 3, 20),
    date(2026, 10, 17),
)
ZONES = ("UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "America/Havana")
EVENTS = ("used", "used", "reservation.created", "login")
HOOK, CHAT = "https://hook.example/in", "https://chat.example/in"
SECRET = "whsec_c2ltdWxhdGVkLXNlY3JldC1zaW11bGF0ZWQ="


@dataclass(frozen=True, kw_only=True)
class Request:
    """Something that a product sends to ingest at `at` seconds, again and again until it is answered."""

    at: float
    product: str
    method: str
    path: str
    query: str = ""
    body: bytes = b""
    event_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Excuse:
    """An operator declares a day excused at `at` seconds."""

    at: float
    product: str
    day: date


@dataclass(kw_only=True)
class Plan:
    """Everything that does not depend on how the run goes. Times in seconds from `start_us`."""

    seed: int
    start_us: int
    days: int
    partitions: int
    config: Config
    requests: list[Request] = field(default_factory=list)
    excuses: list[Excuse] = field(default_factory=list)
    customers: list[tuple[str, str]] = field(default_factory=list)

    @property
    def ends_at(self) -> float:
        return self.days * DAY


def drawn(seed: int) -> Plan:
    """The plan of a seed."""
    return _Draw(seed).plan()


@dataclass(kw_only=True)
class _Use:
    """One event on its way: when it is sent, and what it says."""

    at: float
    customer: str
    fields: dict[str, Any]
    backfill: bool = False


class _Draw:
    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(f"plan {seed}")
        start = datetime.combine(self.random.choice(STARTS_ON), time(self.random.randint(0, 23)), tzinfo=UTC)
        self.start_us = to_us(start)
        self.days = self.random.choices((4, 6, 8, 12, 18, 30, 75), weights=(30, 30, 24, 12, 6, 2, 1))[0]
        self.zone = self.random.choice(ZONES)
        self.requests: list[Request] = []

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def plan(self) -> Plan:
        products = list(PRODUCTS[:1] if self.chance(0.8) else PRODUCTS)
        config = self._config(products)
        count = 2 if self.days > 12 else self.random.randint(1, 4)
        customers = [(self.random.choice(products), f"c-{n}") for n in range(count)]
        for product, customer in customers:
            self._customer(product, customer)
        return Plan(
            seed=self.seed,
            start_us=self.start_us,
            days=self.days,
            partitions=self.random.randint(1, 3),
            config=config,
            requests=sorted(self.requests, key=lambda request: request.at),
            excuses=self._excuses(products),
            customers=customers,
        )

    # The configuration

    def _config(self, products: list[str]) -> Config:
        return Config.model_validate(
            {
                "products": {name: self._product() for name in products},
                "channels": {
                    "hook": {"kind": "webhook", "url": HOOK, "secret": SECRET, "timing": self._timing()},
                    "chat": {"kind": "slack", "url": CHAT, "timing": self._timing()},
                },
                "csms": {
                    "hanako": {
                        "name": "Hanako",
                        "time_zone": "Asia/Tokyo",
                        "days_off": self.random.choice(([], ["sat", "sun"])),
                        "calls_per_day_max": self._calls_max(),
                        "backup": "jiro",
                        "lead": "jiro",
                    },
                    "jiro": {"name": "Jiro", "hours": "00:00-23:59"},
                },
            }
        )

    def _calls_max(self) -> int | None:
        """Chances of its own, so that every seed goes on drawing what it always drew."""
        return Random(f"limits {self.seed}").choice((None, None, None, 1))

    def _timing(self) -> str:
        return self.random.choice(("window", "at_once"))

    def _product(self) -> dict[str, Any]:
        rules: dict[str, Any] = {"stopped": self._absence()}
        if self.chance(0.7):
            rules["habit"] = {
                "kind": "streak",
                "days": self.random.randint(2, 5),
                "repeat": self.chance(0.4),
                "emit": "habit.formed",
            }
        if self.chance(0.3):
            rules["stopped-booking"] = {**self._absence(), "when": {"event": "reservation.*"}}
        if self.chance(0.3):
            rules["never"] = {
                "kind": "absence",
                "expect": "calendar",
                "anchor": "contract_started_on",
                "within_days": self.random.randint(1, 5),
                "emit": "never.started",
            }
        return {
            "time_zone": self.zone,
            "day_starts_at": self.random.choice(("00:00", "00:00", "05:00")),
            "late_window": f"{LATE_WINDOW_DAYS}d",
            "calendar": {
                "learn_closed_weekdays": False,
                "closed_weekdays": self.random.choice(([], [], ["mon"], ["sat", "sun"])),
            },
            "rules": rules,
            "playbooks": self._playbooks({rule.get("emit", "usage.stopped") for rule in rules.values()}),
        }

    def _absence(self) -> dict[str, Any]:
        rule: dict[str, Any] = {
            "kind": "absence",
            "expect": "calendar",
            "grace": self.random.choice(("15m", "0s", "3h")),
            "min_streak": self.random.choice((1, 1, 2)),
            "again_after_days": self.random.choice(([], [], [2], [2, 3])),
        }
        cutoff = self.random.choice((None, None, "14:00", "00:30"))
        return rule if cutoff is None else {**rule, "cutoff": cutoff}

    def _playbooks(self, emitted: set[str]) -> list[dict[str, Any]]:
        send = self.random.choice((["hook"], ["hook", "chat"], ["chat", "hook"]))
        wanted = self.random.choice((["usage.stopped"], ["usage.stopped", "never.started"]))
        call: dict[str, Any] = {
            "on": [kind for kind in wanted if kind in emitted],
            "owner": self.random.choice((None, "hanako")),
            "send": send,
            "task": {"expires": self.random.choice(("never", "never", "2d", "end_of_day"))},
        }
        if self.chance(0.4):
            call["escalate"] = {"after": "4h", "to": "lead"}
        if self.chance(0.3):
            call["task"]["contact_window"] = "14:00-17:00"
        others = [{"on": "habit.formed", "send": ["hook"], "task": {"kind": "note"}}]
        playbooks = [call, *others] if self.chance(0.6) and "habit.formed" in emitted else [call]
        # Chances of its own, so that every seed goes on drawing what it always drew.
        if Random(f"retractions {self.seed}").random() < 0.3:
            playbooks.append({"on": "usage.stopped.retracted", "send": send, "task": {"kind": "note"}})
        return playbooks

    # Customers and what they do

    def _customer(self, product: str, customer: str) -> None:
        self.contract_on = self._day(self._at()).isoformat()
        if self.chance(0.4):
            self._profile(product, customer, at=0.0)
        for _ in range(self.random.choice((0, 0, 0, 1, 2))):
            self._profile(product, customer, at=self._at())
        uses = self._habit(customer)
        if self.chance(0.2):
            uses += self._history(customer)
        self._send(product, uses)
        if self.chance(0.08):
            self.requests.append(
                Request(at=self._at(), product=product, method="DELETE", path=f"/v1/customers/{customer}")
            )

    def _at(self) -> float:
        return self.random.random() * self.days * DAY

    def _day(self, at: float) -> date:
        return from_us(self.start_us + round(at) * SECOND_US).date()

    def _habit(self, customer: str) -> list[_Use]:
        uses: list[_Use] = []
        is_quiet, hour = False, self.random.randint(0, 23)
        for day in range(self.days):
            is_quiet = self.chance(0.6) if is_quiet else self.chance(0.12)
            if is_quiet or self.chance(0.04):
                continue
            for _ in range(self.random.choice((1, 1, 1, 2))):
                uses += self._use(customer, (day + hour / 24) * DAY + self.random.uniform(-2, 2) * HOUR)
        return uses

    def _use(self, customer: str, occurred: float) -> list[_Use]:
        sent = max(0.0, occurred + self._delay())
        fields = {
            "customer_id": customer,
            "event_id": f"{customer}@{occurred:.3f}",
            "event": self.random.choice(EVENTS),
            "occurred_at": self._instant(occurred),
        }
        if self.chance(0.04):
            del fields["occurred_at"]
            if self.chance(0.5):
                fields["occurred_on"] = self._day(occurred).isoformat()
        uses = [_Use(at=sent, customer=customer, fields=fields)]
        while self.chance(0.12):
            uses.append(_Use(at=sent + abs(self._delay()), customer=customer, fields=fields))
        return uses

    def _instant(self, at: float) -> str:
        return rfc3339(self.start_us + round(at * SECOND_US))

    def _delay(self) -> float:
        """From occurring to being sent, in seconds; below 0 where the customer's clock is ahead."""
        draw = self.random.random()
        if draw < 0.76:
            return self.random.uniform(0, 2 * MINUTE)
        if draw < 0.79:
            return -self.random.uniform(0, 8 * MINUTE)
        if draw < 0.9:
            return self.random.uniform(MINUTE, 12 * HOUR)
        if draw < 0.97:
            return self.random.uniform(HOUR, 3 * DAY)
        return self.random.uniform(DAY, (LATE_WINDOW_DAYS + 3) * DAY)

    def _history(self, customer: str) -> list[_Use]:
        """The weeks before, imported in pieces and in any order."""
        sent, days = (self._at(), LATE_WINDOW_DAYS - 1) if self.chance(0.5) else (0.0, 20)
        uses = []
        for day in range(self.random.randint(1, days)):
            occurred = sent - day * DAY - self.random.uniform(0, DAY)
            fields = {
                "customer_id": customer,
                "event_id": f"{customer}@{occurred:.3f}",
                "occurred_at": self._instant(occurred),
            }
            uses.append(_Use(at=sent, customer=customer, fields=fields, backfill=True))
        self.random.shuffle(uses)
        return uses

    def _send(self, product: str, uses: list[_Use]) -> None:
        """Events are sent in batches, each as long after the first of them as this sender's buffer waits."""
        buffer = self.random.choice((1.0, 10 * MINUTE, 6 * HOUR))
        batches: dict[tuple[bool, int], list[_Use]] = {}
        for use in sorted(uses, key=lambda use: use.at):
            batches.setdefault((use.backfill, int(use.at / buffer)), []).append(use)
        for (backfill, number), batch in batches.items():
            if self.chance(0.3):
                self.random.shuffle(batch)
            at = max(use.at for use in batch) if buffer == 1.0 else (number + 1) * buffer
            self.requests.append(
                Request(
                    at=at,
                    product=product,
                    method="POST",
                    path="/v1/events",
                    query="backfill=true" if backfill else "",
                    body=msgspec.json.encode([use.fields for use in batch]),
                    event_ids=tuple(str(use.fields["event_id"]) for use in batch),
                )
            )

    def _profile(self, product: str, customer: str, *, at: float) -> None:
        profile: dict[str, Any] = {"name": self.random.choice(("Sakura", "Ume"))}
        if self.chance(0.4):
            profile["time_zone"] = self.random.choice(ZONES)
        if self.chance(0.2):
            profile["day_starts_at"] = self.random.choice(("00:00", "05:00"))
        if self.chance(0.3):
            profile["closed_weekdays"] = self.random.choice(([], ["wed"], ["sat", "sun"]))
        if self.chance(0.5):
            profile["contract_started_on"] = self.contract_on
        if self.chance(0.5):
            profile["csm"] = self.random.choice(("hanako", "jiro", "nobody"))
        if self.chance(0.2):
            first = self._at()
            profile["pause"] = {
                "from": self._day(first).isoformat(),
                "until": self._day(first + 3 * DAY).isoformat(),
            }
        self.requests.append(
            Request(
                at=at,
                product=product,
                method="PUT",
                path=f"/v1/customers/{customer}",
                query="backfill=true" if self.chance(0.1) else "",
                body=msgspec.json.encode(profile),
            )
        )

    def _excuses(self, products: list[str]) -> list[Excuse]:
        count = self.random.choice((0, 0, 0, 1, 2))
        excuses = []
        for _ in range(count):
            at = self._at()
            day = self._day(at) + timedelta(days=self.random.randint(-4, 3))
            excuses.append(Excuse(at=at, product=self.random.choice(products), day=day))
        return sorted(excuses, key=lambda excuse: excuse.at)
