"""Letters and settings for the tests of presets."""

from typing import Any

import msgspec

from services.notifier.channels.http import Answer, Request
from services.notifier.channels.preset import PresetTool
from services.notifier.messages.facts import facts_of
from services.notifier.messages.letter import Letter
from services.notifier.tasks.announce import ENDS, Kind
from services.notifier.tasks.folding import take_trigger
from services.notifier.tasks.ledger import Ledger
from services.notifier.tasks.lifecycle import Task, finish
from shared.config import CsmSection, WebhookChannel
from shared.triggers import encode_trigger
from tests.unit.notifier.cases import HOUR, NOON, config, stop

CSMS = {"csm-1": CsmSection(name="佐藤", email="sato@example.com", language="ja")}

WITH: dict[str, dict[str, Any]] = {
    "hubspot": {"token": "pat-1", "owners": {"csm-1": "64492917"}},
    "salesforce": {
        "instance": "https://example.my.salesforce.com/",
        "token": "00D1",
        "owners": {"csm-1": "005x"},
    },
    "zendesk": {"subdomain": "example", "email": "a@example.com", "token": "t", "assignees": {"csm-1": 235}},
    "pagerduty": {"routing_key": "R0123456789"},
    "twilio": {
        "account_sid": "AC1",
        "auth_token": "t",
        "caller": "+81312345678",
        "numbers": {"csm-1": "+819012345678"},
    },
    "kintone": {"host": "example.cybozu.com", "app": 7, "token": "t"},
    "chatwork": {"token": "t", "room": 123, "accounts": {"csm-1": 42}},
}

ANSWERS = {
    "hubspot": b'{"id": "512", "properties": {}}',
    "salesforce": b'{"id": "00T1", "success": true, "errors": [], "created": true}',
    "zendesk": b'{"ticket": {"id": 35436}}',
    "pagerduty": b'{"status": "success", "message": "Event processed", "dedup_key": "the-call"}',
    "twilio": b'{"sid": "CA1", "status": "queued"}',
    "kintone": b'{"id": "100", "revision": "1"}',
    "chatwork": b'{"message_id": "1234"}',
}


def letter(kind: Kind = "opened", *, uncertain: bool = False, reference: str = "", **facts: Any) -> Letter:
    """The letter of a stop, of which somebody has made the call where it is about its end."""
    base = {"csm": "csm-1", "phone": "03-1234-5678", "contact_window": "14:00-17:00"}
    properties = {"hubspot_contact_id": "101", "salesforce_account_id": "001x"}
    trigger = stop(**{**base, "properties": properties, **facts})
    ledger = Ledger(channels=config().channels)
    take_trigger(ledger, trigger, encode_trigger(trigger), config(), NOON)
    task: Task = ledger.changed[trigger.id]
    if kind in ENDS:
        task = finish(task, "csm-1", "reached", "", NOON + HOUR).task
    (delivery,) = [d for d in ledger.new_deliveries.values() if d.channel == "phone"]
    delivery = msgspec.structs.replace(delivery, kind=kind, uncertain=uncertain, reference=reference)
    return Letter(delivery=delivery, task=task, trigger=trigger, value=encode_trigger(trigger))


class Tool:
    """A tool that answers as scripted, then with 200."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Request] = []
        self._answers = list(answers)

    async def send(self, request: Request) -> Answer:
        self.requests.append(request)
        return self._answers.pop(0) if self._answers else Answer(status=200, body=b"{}")

    async def close(self) -> None:
        return


def opened(preset: str, tool: Tool, values: dict[str, Any] | None = None) -> PresetTool:
    """The channel of a preset."""
    given = WITH.get(preset, {}) if values is None else values
    section = WebhookChannel.model_validate({"kind": "webhook", "preset": preset, "with": given})
    return PresetTool("crm", section, tool, lambda one: facts_of(one, CSMS, "en", "https://calls.example"))
