"""`deliveries`: listing with attempts, sending again, channels in trouble."""

import asyncio
from pathlib import Path

import pytest

from deploy.migrations.upgrade import bring_up
from services.cli import run
from services.foundations import DATABASE_NAME
from services.notifier.channels.http import Answer
from shared.database import open_sqlite
from tests.integration.notifier.world import Receivers, World
from tests.unit.notifier.cases import config, stop

GIVEN_UP = Answer(status=404, body=b"channel_not_found")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two stops: Slack's webhook was revoked, the phone's took the first at the second attempt."""

    async def fill() -> None:
        database = open_sqlite(tmp_path / DATABASE_NAME)
        try:
            await bring_up(database)
            here = World(database, config(), lambda _clock: Receivers())
            here.receivers.will_answer("slack", GIVEN_UP)
            here.receivers.will_answer("phone", Answer(status=500, body=b"oops"))
            await here.read(stop("c-1"))
            await here.send()
            await here.after(seconds=6)
            await here.read(stop("c-2"))
            await here.send()
            await here.notifier.close()
        finally:
            await database.close()

    asyncio.run(fill())
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], data: Path, *arguments: str) -> list[str]:
    assert run(["deliveries", *arguments, "--data", str(data)]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_attempt_is_listed_below_its_delivery(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, data, "list", "--channel", "phone", "--attempts")
    assert [line.split("  ")[2] for line in lines if not line.startswith(" ")] == ["delivered", "delivered"]
    assert [line.split()[1] for line in lines if line.startswith(" ")] == ["delivered", "retry", "delivered"]
    assert any(line.endswith("500 oops") for line in lines)


def test_a_disabled_channel_is_named_with_its_reason(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, data, "list", "--channel", "cs-slack")
    assert [line.rpartition("  ")[2] for line in lines] == [
        "the channel is disabled: 404 channel_not_found",
        "404 channel_not_found",
    ]
    (line,) = [line for line in said(capsys, data, "channels") if line.startswith("cs-slack")]
    assert line == "cs-slack  disabled since 2026-03-02T05:15:00Z  404 channel_not_found"


def test_an_enabled_channel_gets_what_it_missed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, data, "enable", "cs-slack") == ["cs-slack is in use again"]
    assert said(capsys, data, "replay", "--channel", "cs-slack") == ["2 deliveries go out again"]
    lines = said(capsys, data, "list", "--state", "pending")
    assert len(lines) == 2


def test_one_is_sent_again_by_its_id(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = f"{stop('c-1').id}.phone"
    assert said(capsys, data, "replay", "--id", one) == ["1 deliveries go out again"]
    (line,) = said(capsys, data, "list", "--state", "pending")
    assert line.startswith(one)


def test_a_range_takes_what_was_made_in_it(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    late = "2026-03-02T05:15:03+00:00"
    assert said(capsys, data, "replay", "--from", late) == ["1 deliveries go out again"]
    assert said(capsys, data, "replay", "--to", late) == ["1 deliveries go out again"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["replay", "--id", "nothing"], "no delivery 'nothing' that could go out"),
        (["enable", "phnoe"], "no channel 'phnoe' was ever in trouble"),
    ],
)
def test_what_is_not_there_is_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    assert run(["deliveries", *arguments, "--data", str(data)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line
