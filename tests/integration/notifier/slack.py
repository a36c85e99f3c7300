"""A Slack in memory: its Web API as far as a bot needs it, and clicks signed as Slack signs them."""

import json
from typing import Any
from urllib.parse import urlencode

from slack_sdk.signature import SignatureVerifier

from services.notifier.channels.http import Answer, Request
from shared.clock import Clock
from shared.config import Config
from tests.integration.notifier.world import Receivers
from tests.unit.notifier.cases import SECRET

SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
API = "https://slack.example/api"


def with_bot(*, playbook: dict[str, Any] | None = None, **channel: Any) -> Config:
    """A product whose calls go to a bot; csm-1 is U1, csm-2 is U2. `phone` hears of no calls."""
    csm = {"time_zone": "Asia/Tokyo", "hours": "00:00-23:59", "lead": "csm-2"}
    bot = {
        "kind": "slack",
        "token": "xoxb-1",
        "channel": "#calls",
        "signing_secret": SIGNING_SECRET,
        "api_url": API,
        "language": "ja",
    }
    return Config.model_validate(
        {
            "products": {
                "reserve": {
                    "time_zone": "Asia/Tokyo",
                    "playbooks": [{"on": "usage.stopped", "send": ["bot"], **(playbook or {})}],
                }
            },
            "channels": {
                "bot": {**bot, **channel},
                "phone": {"kind": "webhook", "url": "https://phone.example/in", "secret": SECRET},
            },
            "csms": {
                "csm-1": {**csm, "name": "佐藤", "slack": "U1", "language": "ja"},
                "csm-2": {**csm, "name": "Ito", "slack": "U2"},
            },
        }
    )


class Slack(Receivers):
    """Every message by its name as it stands now; remembers when each was posted, and what was whispered."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.messages: dict[str, dict[str, Any]] = {}
        self.posted_us: list[int] = []
        self.called_us: list[int] = []
        self.whispers: list[dict[str, Any]] = []
        self.errors: list[str] = []

    @property
    def only(self) -> dict[str, Any]:
        (message,) = self.messages.values()
        return message

    async def send(self, request: Request) -> Answer:
        if not request.url.startswith(API):
            return await super().send(request)
        self.requests.append(request)
        assert request.headers["authorization"] == "Bearer xoxb-1"
        said = json.loads(request.body)
        method = request.url.rpartition("/")[2]
        if method != "chat.postEphemeral":
            self.called_us.append(self._clock.now_us())
        if self.errors:
            return self._said(ok=False, error=self.errors.pop(0))
        for scripted in self.scripts["slack.example"]:
            self.scripts["slack.example"].remove(scripted)
            return scripted
        return getattr(self, f"_{method.replace('.', '_')}")(said)  # type: ignore[no-any-return]

    def _chat_postMessage(self, said: dict[str, Any]) -> Answer:
        ts = f"1700000000.{len(self.messages):06}"
        self.messages[ts] = said
        self.posted_us.append(self._clock.now_us())
        return self._said(ok=True, channel="C024BE91L", ts=ts, message=said)

    def _chat_update(self, said: dict[str, Any]) -> Answer:
        assert said["channel"] == "C024BE91L"  # an id: Slack takes no name here
        if said["ts"] not in self.messages:
            return self._said(ok=False, error="message_not_found")
        self.messages[said["ts"]] = said
        return self._said(ok=True, channel=said["channel"], ts=said["ts"])

    def _chat_postEphemeral(self, said: dict[str, Any]) -> Answer:
        self.whispers.append(said)
        return self._said(ok=True)

    def _said(self, **reply: Any) -> Answer:
        return Answer(status=200, body=json.dumps(reply).encode())


def text_of(message: dict[str, Any]) -> str:
    """Everything that is seen of a message."""
    return json.dumps(message["blocks"], ensure_ascii=False)


def buttons_of(message: dict[str, Any]) -> list[str]:
    return [e["action_id"] for b in message["blocks"] if b["type"] == "actions" for e in b["elements"]]


def click(action: str, task_id: str, at_us: int, *, user: str = "U1", **more: Any) -> bytes:
    """The body that Slack posts when a button is clicked."""
    payload = {
        "type": "block_actions",
        "user": {"id": user, "username": "sato"},
        "channel": {"id": "C024BE91L", "name": "calls"},
        "response_url": "https://hooks.slack.example/actions/1",
        "actions": [
            {
                "type": "button",
                "action_id": action,
                "block_id": "b",
                "value": task_id,
                "action_ts": f"{at_us / 1e6:.6f}",
            }
        ],
        **more,
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def signed(body: bytes, at_us: int, secret: str = SIGNING_SECRET) -> dict[str, str]:
    """The headers with which Slack signs a body, made by Slack's own library."""
    timestamp = str(at_us // 1_000_000)
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    return {
        "content-type": "application/x-www-form-urlencoded",
        "x-slack-request-timestamp": timestamp,
        "x-slack-signature": signature or "",
    }
