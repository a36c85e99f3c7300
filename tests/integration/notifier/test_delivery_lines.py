"""What the service log says of deliveries: a line an attempt, with the ids by which somebody looks for it."""

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from services.notifier.channels.http import Answer
from services.notifier.delivery.tracks import attempting
from services.notifier.messages.letter import Letter
from shared.schema import outbox
from shared.telemetry import hide_secrets
from shared.tracing import HEADER
from tests.integration.notifier.world import World, world
from tests.traces import REQUEST, traced
from tests.unit.notifier.cases import config, stop

FAILED = Answer(status=500, body=b"oops")
GONE = Answer(status=410)


async def lines_of(here: World, *answers: Answer) -> list[MutableMapping[str, Any]]:
    """Of one stop that is sent once to the phone tool, which answers so; as they are written."""
    here.receivers.will_answer("phone", *answers)
    with capture_logs() as lines:
        await here.read(stop())
        await here.send()
    return [hide_secrets(None, "info", line) for line in lines if line.get("channel") == "phone"]


def phone_alone() -> Any:
    return config(playbooks=[{"on": "usage.stopped", "send": ["phone"]}])


async def test_a_delivery_is_said_with_its_customer_its_trigger_and_its_task(tmp_path: Path) -> None:
    async with world(tmp_path, phone_alone()) as here:
        (line,) = await lines_of(here)
        (delivery,), task = await here.deliveries(), await here.task()
    assert line == {
        "event": "a delivery arrived",
        "log_level": "info",
        "delivery": delivery.id,
        "trigger": stop().id,
        "task": task.id,
        "product": "reserve",
        "customer": "c-17",
        "channel": "phone",
        "attempt": 1,
        "took_ms": 0,
    }


@pytest.mark.parametrize(
    ("answer", "level", "event"),
    [
        (FAILED, "warning", "a delivery failed and is tried again"),
        (GONE, "error", "a delivery is given up; it can be replayed"),
    ],
)
async def test_one_that_fails_says_what_comes_of_it_under_the_same_ids(
    tmp_path: Path, answer: Answer, level: str, event: str
) -> None:
    async with world(tmp_path, phone_alone()) as here:
        line = next(line for line in await lines_of(here, answer) if "delivery" in line)
    assert (line["log_level"], line["event"]) == (level, event)
    assert (line["customer"], line["trigger"]) == ("c-17", stop().id)
    assert str(answer.status) in line["detail"]


async def test_one_whose_decision_is_traced_names_the_trace(tmp_path: Path) -> None:
    with traced() as traces:
        async with world(tmp_path, phone_alone()) as here:
            await here.publish(stop())
            async with here.database.begin() as connection:
                await connection.execute(update(outbox).values(traceparent=REQUEST))
            (line,) = await lines_of(here)
            (request,) = here.receivers.to("phone")
    assert line["trace_id"] == REQUEST.split("-")[1] == traces.one("deliver phone").trace_id
    assert request.headers[HEADER] == traces.one("deliver phone").traceparent


async def test_a_digest_has_links_to_the_decisions_of_which_it_tells(tmp_path: Path) -> None:
    other = REQUEST.replace("4bf92f35", "11111111")
    async with world(tmp_path, phone_alone()) as here:
        await here.read(stop())
        (delivery,), task = await here.deliveries(), await here.task()
    letter = Letter(delivery=delivery, task=task, trigger=stop(), value=b"", traceparent=REQUEST)
    with traced() as traces, attempting([letter, msgspec.structs.replace(letter, traceparent=other)]):
        pass
    seen = traces.one("deliver phone")
    assert (seen.parent, seen.links) == (None, (REQUEST, other))


async def test_of_a_decision_that_is_not_traced_no_attempt_is_told(tmp_path: Path) -> None:
    with traced() as traces:
        async with world(tmp_path, phone_alone()) as here:
            await here.read(stop())
            await here.send()
            (request,) = here.receivers.to("phone")
    assert traces.spans == []
    assert HEADER not in request.headers
