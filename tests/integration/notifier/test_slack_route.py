"""`POST /slack/actions`: clicks on the buttons of messages, signed by Slack's own library."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from services.notifier.tasks.lifecycle import acknowledge
from shared.http import install_errors
from tests.integration.notifier.slack import Slack, click, signed, text_of, with_bot
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import HOUR, MINUTE, NOON, config, stop

TASK = stop().id


class Clicker:
    """Somebody in Slack, in front of one call."""

    def __init__(self, here: World, slack: Slack, client: httpx.AsyncClient) -> None:
        self.here, self.slack, self._client = here, slack, client

    async def post(self, body: bytes, headers: dict[str, str]) -> int:
        answer = await self._client.post("/slack/actions", content=body, headers=headers)
        return answer.status_code

    async def click(self, action: str, *, user: str = "U1", at_us: int = NOON, task_id: str = TASK) -> int:
        body = click(action, task_id, at_us, user=user)
        return await self.post(body, signed(body, at_us))

    async def changes(self) -> list[tuple[str, str, str]]:
        return [(row.change, row.actor, row.detail) for row in await self.here.rows("task_history")][2:]


@asynccontextmanager
async def clicking(path: Path) -> AsyncIterator[Clicker]:
    async with world(path, with_bot(), Slack) as here:
        app = FastAPI()
        install_errors(app)
        app.include_router(here.notifier.api)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            await here.read(stop(csm="csm-1"))
            await here.send()
            assert isinstance(here.receivers, Slack)
            yield Clicker(here, here.receivers, client)


@pytest.mark.parametrize(
    ("action", "outcome"),
    [("called", "reached"), ("no_answer", "no_answer"), ("not_needed", "legitimate_absence")],
)
async def test_a_button_closes_the_call_as_the_csm_who_clicked(
    tmp_path: Path, action: str, outcome: str
) -> None:
    async with clicking(tmp_path) as one:
        assert await one.click(action) == 200
        task = await one.here.task()
        assert (task.state, task.outcome, task.closed_by) == ("done", outcome, "csm-1")
        await one.here.after(seconds=1)
        assert "佐藤さん: " in text_of(one.slack.only)


async def test_snooze_puts_the_call_off_for_an_hour_from_the_click(tmp_path: Path) -> None:
    async with clicking(tmp_path) as one:
        assert await one.click("snooze", at_us=NOON - MINUTE) == 200
        task = await one.here.task()
        assert (task.state, task.snoozed_until_us) == ("snoozed", NOON - MINUTE + HOUR)


@pytest.mark.parametrize("action", ["called", "snooze"])
async def test_a_double_click_or_a_replay_changes_nothing_twice(tmp_path: Path, action: str) -> None:
    async with clicking(tmp_path) as one:
        body = click(action, TASK, NOON)
        headers = signed(body, NOON)
        for _ in range(3):
            assert await one.post(body, headers) == 200
        assert len(await one.changes()) == 1
        assert one.slack.whispers == []


async def test_a_link_is_clicked_and_nothing_happens(tmp_path: Path) -> None:
    async with clicking(tmp_path) as one:
        assert await one.click("open") == 200
        assert await one.changes() == []


async def test_what_cannot_be_done_any_more_is_said_to_the_clicker_alone(tmp_path: Path) -> None:
    async with clicking(tmp_path) as one:
        await one.click("called", user="U2")
        assert await one.click("no_answer") == 200
        (whisper,) = one.slack.whispers
        assert (whisper["user"], whisper["channel"]) == ("U1", "C024BE91L")
        assert whisper["text"] == "このお電話は対応済みです。結果はメッセージをご覧ください。"
        assert (await one.here.task()).outcome == "reached"


async def test_a_stranger_in_the_channel_changes_nothing_and_hears_why(tmp_path: Path) -> None:
    async with clicking(tmp_path) as one:
        assert await one.click("called", user="U9") == 200
        assert await one.changes() == []
        assert "slack: U9" in one.slack.whispers[0]["text"]


async def test_a_call_that_is_gone_is_said_to_be(tmp_path: Path) -> None:
    async with clicking(tmp_path) as one:
        assert await one.click("called", task_id="erased") == 200
        assert one.slack.whispers[0]["text"] == "このお電話の記録はもうありません。"


@pytest.mark.parametrize("age_us", [5 * MINUTE + 1_000_000, -5 * MINUTE - 1_000_000])
async def test_a_callback_from_another_time_is_refused(tmp_path: Path, age_us: int) -> None:
    async with clicking(tmp_path) as one:
        assert await one.click("called", at_us=NOON - age_us) == 401
        assert (await one.here.task()).is_live


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-slack-signature": "v0=00"},
        {"x-slack-request-timestamp": "soon"},
        {"x-slack-signature": "v0=\u00e9"},
        signed(b"another body", NOON),
        signed(click("called", TASK, NOON), NOON, "another secret"),
    ],
)
async def test_a_forged_callback_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async with clicking(tmp_path) as one:
        body = click("called", TASK, NOON)
        whole = {} if headers == {} else {**signed(body, NOON), **headers}
        sent = {name: value.encode("latin-1") for name, value in whole.items()}
        assert await one.post(body, sent) == 401  # type: ignore[arg-type]
        assert await one.changes() == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"payload=",
        b"payload=%7B",
        b"payload=%5B%5D",
        b"payload=%FF",
        b"other=1",
        b"\xff\xfe",
        b"a&" * 50,
    ],
)
async def test_nonsense_with_a_good_signature_is_no_fault_of_ours(tmp_path: Path, body: bytes) -> None:
    async with clicking(tmp_path) as one:
        headers = signed(body if body != b"\xff\xfe" else b"", NOON)
        assert await one.post(body, headers) in (400, 401)


async def test_another_kind_of_interaction_is_taken_and_ignored(tmp_path: Path) -> None:
    async with clicking(tmp_path) as one:
        body = click("called", TASK, NOON, type="view_submission")
        assert await one.post(body, signed(body, NOON)) == 200
        assert await one.changes() == []


async def test_two_people_who_click_at_once_are_one_outcome_and_one_whisper(tmp_path: Path) -> None:
    async with clicking(tmp_path) as one:
        await one.here.notifier.desk.change(TASK, lambda t, now: acknowledge(t, "csm-2", now))
        await one.click("called", user="U2")
        await one.click("not_needed", user="U1")
        assert [change for change, _, _ in await one.changes()] == ["acknowledged", "done"]
        assert len(one.slack.whispers) == 1


async def test_without_buttons_nobody_answers_there(tmp_path: Path) -> None:
    async with world(tmp_path, config()) as here:
        app = FastAPI()
        app.include_router(here.notifier.api)
        assert all(getattr(route, "path", "") != "/slack/actions" for route in app.routes)
