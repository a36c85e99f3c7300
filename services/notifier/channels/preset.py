"""A phone or task tool, spoken to as its preset says: a call opens a task there, and its end closes it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.notifier.channels.channel import Pace, Result
from services.notifier.channels.http import Answer, Client
from services.notifier.channels.presets import (
    CannotWrite,
    Preset,
    RequestPart,
    load_preset,
    reference_in,
    request_of,
)
from services.notifier.channels.webhook import failure_of
from services.notifier.messages.letter import Letter
from services.notifier.tasks.announce import ENDS
from shared.config import WebhookChannel

Facts = Callable[[Letter], Mapping[str, Any]]
"""What a template may say of a letter."""


class PresetTool:
    """Makes requests of letters by a preset.

    A template that fails on one customer gives up that delivery and no other; the task stays in the inbox.
    """

    def __init__(self, name: str, section: WebhookChannel, client: Client, facts: Facts) -> None:
        """Raises ConfigError for a preset that there is not, or that lacks what it needs."""
        self._preset: Preset = load_preset(section.preset or "", f"channels.{name}.preset")
        self._values = self._preset.filled(section.values, f"channels.{name}.with")
        self.pace = Pace(places=section.concurrency)
        self._client = client
        self._facts = facts

    async def send(self, letters: Sequence[Letter], now_us: int) -> Result:
        (letter,) = letters
        try:
            if letter.delivery.kind in ENDS:
                return await self._close(letter)
            if letter.delivery.kind == "opened":
                return await self._open(letter)
        except CannotWrite as error:
            return Result(verdict="dead", detail=f"cannot be written for this customer: {error}")
        return Result(verdict="unwanted", detail="the tool has a task for this call already")

    async def _open(self, letter: Letter) -> Result:
        # The tool may have made the task and been too slow to say so: look before making a second one.
        if letter.delivery.uncertain and (reference := await self._found(letter)):
            return Result(verdict="delivered", detail="it was there already", reference=reference)
        part = self._preset.requests.opened
        answer = await self._ask(part, letter)
        if not answer.is_success:
            return failure_of(answer, self._preset.given_up)
        reference = reference_in(answer.body, part.reference) or letter.task.id
        return Result(verdict="delivered", detail=str(answer.status), reference=reference)

    async def _close(self, letter: Letter) -> Result:
        part = self._preset.requests.closed
        reference = letter.delivery.reference or await self._found(letter)
        if part is None or not reference:
            return Result(verdict="unwanted", detail="the tool has nothing to close")
        answer = await self._ask(part, letter, reference)
        if not answer.is_success:
            return failure_of(answer, self._preset.given_up)
        return Result(verdict="delivered", detail=str(answer.status), reference=reference)

    async def _found(self, letter: Letter) -> str:
        part = self._preset.requests.find
        if part is None:
            return ""
        answer = await self._ask(part, letter)
        return reference_in(answer.body, part.reference) if answer.is_success else ""

    async def _ask(self, part: RequestPart, letter: Letter, reference: str = "") -> Answer:
        context = {**self._values, **self._facts(letter), "reference": reference}
        return await self._client.send(request_of(part, context))

    async def close(self) -> None:
        await self._client.close()
