"""The Slack incoming webhook: a message of Block Kit, in the language of whoever has to call."""

import json
from collections.abc import Callable

from services.notifier.channels import Letter, Result
from services.notifier.channels.http import Answer, Client, Request, check_url
from services.notifier.render import SlackMessage
from shared.config import SlackChannel

Render = Callable[[Letter], SlackMessage]

_GIVEN_UP = frozenset({400, 403, 404, 410})
"""Slack's answers that stay the same until somebody changes something: no such webhook, archived channel."""


class SlackWebhook:
    """Posts to one incoming webhook. Slack knows no idempotency key: what ends uncertain may come twice."""

    def __init__(self, name: str, section: SlackChannel, client: Client, render: Render) -> None:
        """Raises ConfigError for a url that cannot be used."""
        check_url(section.url, f"channels.{name}.url")
        self._url = section.url
        self._client = client
        self._render = render

    async def send(self, letter: Letter, now_us: int) -> Result:
        message = self._render(letter)
        answer = await self._post({"text": message.text, "blocks": list(message.blocks)})
        if answer.status == 400 and b"invalid_blocks" in answer.body:
            # A layout that Slack refuses must not cost the call: the same words without it.
            answer = await self._post({"text": message.text})
        return _result_of(answer)

    async def _post(self, body: object) -> Answer:
        raw = json.dumps(body, ensure_ascii=False).encode()
        headers = {"content-type": "application/json; charset=utf-8", "user-agent": "usage-triggers"}
        return await self._client.send(Request(url=self._url, body=raw, headers=headers))

    async def close(self) -> None:
        await self._client.close()


def _result_of(answer: Answer) -> Result:
    if answer.is_success:
        return Result(verdict="delivered", detail=str(answer.status))
    if answer.status is None:
        return Result(verdict="retry", detail=answer.error, uncertain=answer.uncertain)
    said = answer.body[:100].decode(errors="replace").strip()
    detail = f"{answer.status} {said}".strip()
    if answer.status in _GIVEN_UP:
        return Result(verdict="dead", detail=detail)
    return Result(verdict="retry", detail=detail, retry_after_seconds=answer.retry_after_seconds)
