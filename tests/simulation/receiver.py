"""Those who receive webhooks and messages: they answer, refuse, or fall silent before or after taking one."""

import asyncio
from collections import defaultdict
from random import Random
from typing import Literal

from services.notifier.channels.http import Answer, Request
from tests.simulation.machine import Machine

Mood = Literal["well", "refuses", "silent", "takes in silence", "mixed"]
ANSWER_SECONDS_MAX = 15.0


class Receivers:
    """Every endpoint by its url; `taken` are the bodies that arrived, in order, with their webhook ids."""

    def __init__(self, random: Random) -> None:
        self.mood: Mood = "well"
        self.taken: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        self._random = random

    def answer(self, request: Request) -> tuple[Answer, float]:
        """What comes back, and after how many seconds."""
        moods: tuple[Mood, ...] = ("well", "refuses", "silent", "takes in silence")
        mood = self._random.choice(moods) if self.mood == "mixed" else self.mood
        if mood in ("well", "takes in silence"):
            self.taken[request.url].append((request.headers.get("webhook-id", ""), request.body))
        if mood == "well":
            return Answer(status=204), 0.0
        if mood == "refuses":
            headers = {"retry-after": "30"} if self._random.random() < 0.3 else {}
            return Answer(status=self._random.choice((500, 503, 429)), headers=headers), 0.0
        return Answer(error="no answer in time", uncertain=True), ANSWER_SECONDS_MAX


class SimClient:
    """Implements services.notifier.channels.http.Client on one machine."""

    def __init__(self, machine: Machine, receivers: Receivers) -> None:
        self._machine = machine
        self._receivers = receivers

    async def send(self, request: Request) -> Answer:
        await self._machine.io(f"POST {request.url}")
        answer, seconds = self._receivers.answer(request)
        await asyncio.sleep(seconds)
        await self._machine.io(f"answered {answer.status}")
        return answer

    async def close(self) -> None:
        """There is nothing to close."""
