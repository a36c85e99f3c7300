"""Slack, by incoming webhook or as a bot: messages of Block Kit, one a second, many calls in one digest.

Slack knows no idempotency key: what ends uncertain may come twice.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from services.notifier.channels.channel import Pace, Result
from services.notifier.channels.http import Answer, Client, Request, check_url
from services.notifier.messages.letter import Letter
from services.notifier.messages.render import SlackMessage
from services.notifier.tasks.announce import ENDS
from shared.config import SlackChannel
from shared.errors import ConfigError

Render = Callable[[Sequence[Letter]], SlackMessage]

PACE = Pace(places=1, letters_max=250, every_us=1_000_000)
"""Slack takes one message a second and channel, short bursts aside."""

ANSWER_BYTES_MAX = 1024 * 1024
"""Slack repeats the message in its answer, and only a whole answer tells what the message is called."""

_CLOSED_STATUSES = frozenset({403, 404, 410})
"""An incoming webhook's answers that concern every message: revoked, forbidden, no such channel, archived."""

_CLOSED = frozenset(
    {
        "access_denied",
        "account_inactive",
        "channel_not_found",
        "ekm_access_denied",
        "invalid_auth",
        "is_archived",
        "missing_scope",
        "no_permission",
        "not_authed",
        "not_in_channel",
        "org_login_required",
        "restricted_action",
        "team_access_not_granted",
        "token_expired",
        "token_revoked",
    }
)
"""A bot's errors that concern every message."""

_PASSING = frozenset(
    {
        "fatal_error",
        "internal_error",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
_BAD_LAYOUT = frozenset({"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"})
_CANNOT_CHANGE = frozenset({"cant_update_message", "edit_window_closed", "message_not_found"})


class SlackWebhook:
    """Posts to one incoming webhook, which can neither be answered nor changed."""

    pace = PACE

    def __init__(self, name: str, section: SlackChannel, client: Client, render: Render) -> None:
        """Raises ConfigError for a url that cannot be used."""
        self._url = section.url or ""
        check_url(self._url, f"channels.{name}.url")
        self._client = client
        self._render = render

    async def send(self, letters: Sequence[Letter], now_us: int) -> Result:
        message = self._render(letters)
        answer = await self._post({"text": message.text, "blocks": list(message.blocks)})
        if answer.status == 400 and answer.body.strip().decode(errors="replace") in _BAD_LAYOUT:
            # A layout that Slack refuses must not cost the call: the same words without it.
            answer = await self._post({"text": message.text})
        return _result_of(answer)

    async def _post(self, body: object) -> Answer:
        return await self._client.send(_request(self._url, body, {}))

    async def close(self) -> None:
        await self._client.close()


def _result_of(answer: Answer) -> Result:
    if answer.is_success:
        return Result(verdict="delivered", detail=str(answer.status))
    if answer.status is None:
        return Result(verdict="retry", detail=answer.error, uncertain=answer.uncertain)
    said = answer.body[:100].decode(errors="replace").strip()
    detail = f"{answer.status} {said}".strip()
    if answer.status in _CLOSED_STATUSES:
        return Result(verdict="disabled", detail=detail)
    if answer.status == 400:
        return Result(verdict="dead", detail=detail)
    return Result(verdict="retry", detail=detail, retry_after_seconds=answer.retry_after_seconds)


class Reply(msgspec.Struct, frozen=True):
    """What Slack's Web API says of a call; `ts` is the message's name in its channel."""

    ok: bool
    error: str = ""
    channel: str = ""
    ts: str = ""


class SlackBot:
    """Speaks in one channel with a bot's token, and changes what it said when the task changes."""

    pace = PACE

    def __init__(self, name: str, section: SlackChannel, client: Client, render: Render) -> None:
        """Raises ConfigError for a url or a token that cannot be used."""
        check_url(section.api_url, f"channels.{name}.api_url")
        if not (section.token or "").isascii():
            raise ConfigError(f"channels.{name}.token: a bot's token starts with xoxb-")
        self._api_url = section.api_url.rstrip("/")
        self._headers = {"authorization": f"Bearer {section.token}"}
        self._channel = section.channel or ""
        self._client = client
        self._render = render

    async def send(self, letters: Sequence[Letter], now_us: int) -> Result:
        first = letters[0]
        if first.delivery.kind in ENDS and first.delivery.reference:
            return await self._change(letters)
        if first.delivery.kind == "changed":
            return Result(verdict="unwanted", detail="there is no message to change")
        return await self._say("chat.postMessage", {"channel": self._channel}, self._render(letters))

    async def whisper(self, user: str, channel: str, text: str) -> None:
        """Says something that one person alone sees; it is lost where Slack does not take it."""
        body = {"channel": channel, "user": user, "text": text}
        await self._client.send(_request(f"{self._api_url}/chat.postEphemeral", body, self._headers))

    async def _change(self, letters: Sequence[Letter]) -> Result:
        first = letters[0]
        if not first.shown:
            return Result(verdict="unwanted", detail="everybody in this message was erased")
        channel, _, ts = first.delivery.reference.partition("/")
        result = await self._say("chat.update", {"channel": channel, "ts": ts}, self._render(first.shown))
        if result.verdict != "dead" or result.detail not in _CANNOT_CHANGE:
            return result
        ends = [letter for letter in letters if letter.delivery.kind == "closed"]
        if not ends:
            return Result(verdict="unwanted", detail=result.detail)
        # Nobody may be left to call for nothing because an old message cannot be changed any more.
        return await self._say("chat.postMessage", {"channel": self._channel}, self._render(ends))

    async def _say(self, method: str, address: Mapping[str, str], message: SlackMessage) -> Result:
        said = {**address, "text": message.text, "unfurl_links": False}
        result = await self._call(method, {**said, "blocks": list(message.blocks)})
        if result.verdict == "dead" and result.detail in _BAD_LAYOUT:
            result = await self._call(method, {**said, "blocks": []})
        return result

    async def _call(self, method: str, body: Mapping[str, Any]) -> Result:
        request = _request(f"{self._api_url}/{method}", body, self._headers)
        return _verdict(await self._client.send(request))

    async def close(self) -> None:
        await self._client.close()


def _verdict(answer: Answer) -> Result:
    if answer.status is None:
        return Result(verdict="retry", detail=answer.error, uncertain=answer.uncertain)
    if not answer.is_success:
        wish = answer.retry_after_seconds
        return Result(verdict="retry", detail=str(answer.status), retry_after_seconds=wish)
    try:
        reply = msgspec.json.decode(answer.body, type=Reply)
    except msgspec.DecodeError:
        # Cut short, or no Slack at all: it may well have been posted.
        return Result(verdict="retry", detail="the answer is no JSON of Slack's", uncertain=True)
    if reply.ok:
        return Result(verdict="delivered", detail="ok", reference=f"{reply.channel}/{reply.ts}")
    if reply.error in _CLOSED:
        return Result(verdict="disabled", detail=reply.error)
    return Result(verdict="retry" if reply.error in _PASSING else "dead", detail=reply.error)


def _request(url: str, body: object, headers: Mapping[str, str]) -> Request:
    return Request(
        url=url,
        answer_bytes_max=ANSWER_BYTES_MAX,
        body=json.dumps(body, ensure_ascii=False).encode(),
        headers={
            "content-type": "application/json; charset=utf-8",
            "user-agent": "usage-triggers",
            **headers,
        },
    )
