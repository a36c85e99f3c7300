"""Two of the demo's three CSMs make their calls by themselves; the third one's are left to the reader."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from services.commands.remote import Remote
from shared.clock import Clock, to_us

LOOK_EVERY_SECONDS = 0.5
TAKE_AFTER_US = 2 * 3600 * 1_000_000
CALL_AFTER_US = 20 * 3600 * 1_000_000
BUSY = ("mori", "tanaka")

_ENDINGS = (
    ("reached", "店長とお話しできました。明日から再開とのこと。"),
    ("legitimate_absence", "改装のため臨時休業。"),
    ("product_problem", "Tablet would not sign in; reset the password together."),
    ("no_answer", ""),
    ("churn_risk", "Tries another service; visit on Thursday."),
)


class Colleagues:
    """Take their calls a while after they open, and close them later with an outcome.

    `until_us`: calls opened before it are made by all three, so that the reader begins with a clean day.
    """

    def __init__(self, remote: Remote, clock: Clock, *, seed: int, until_us: int) -> None:
        self._remote = remote
        self._clock = clock
        self._chance = random.Random(seed)
        self._until_us = until_us

    async def run(self, stop: asyncio.Event) -> None:
        """Looks at the open tasks every half second until told to stop."""
        while not stop.is_set():
            await self.step()
            try:
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def step(self) -> bool:
        """One look at what is open; True if anything was taken or closed."""
        page = await self._remote.get("/v1/tasks", state=["open", "notified", "acknowledged"], limit="200")
        changes = [change for task in page["tasks"] if (change := self._change(task)) is not None]
        for path, body in changes:
            await self._remote.post_json(path, body)
        return bool(changes)

    def _change(self, task: Mapping[str, Any]) -> tuple[str, dict[str, str]] | None:
        opened_us = to_us(_instant(task["opened_at"]))
        owner, age_us = task["owner"], self._clock.now_us() - opened_us
        if owner not in BUSY and opened_us >= self._until_us:
            return None
        path = f"/v1/tasks/{task['id']}"
        if task["state"] != "acknowledged":
            return (f"{path}/acknowledge", {"by": owner}) if age_us > TAKE_AFTER_US else None
        if age_us < CALL_AFTER_US:
            return None
        outcome, note = self._chance.choice(_ENDINGS)
        return f"{path}/done", {"by": owner, "outcome": outcome, "note": note}


def _instant(text: str) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(text)
