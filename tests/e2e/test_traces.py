"""One story in traces: a request and its batch, and a decision with its task and its webhook."""

import random
from pathlib import Path

import httpx
import msgspec
import pytest

from deploy.migrations.upgrade import bring_up
from services.bootstrap import Foundations, assemble
from services.foundations import distributed, open_database
from services.notifier.channels.http import Answer
from shared.clock import SystemClock
from shared.config import Config
from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS
from shared.settings import Settings
from tests.e2e.world import SECRET, Receiver, World, world
from tests.servers import KafkaServer
from tests.traces import REQUEST, SpanSeen, Traces, traced

ROUNDS_MAX = 200
AT_ONCE = Config.model_validate(
    {
        "products": {
            "reserve": {
                "rules": {"habit": {"kind": "streak", "days": 1, "emit": "habit.formed"}},
                "playbooks": [{"on": "habit.formed", "send": ["phone"]}],
            }
        },
        "channels": {
            "phone": {
                "kind": "webhook",
                "url": "https://phone.example/calls",
                "secret": SECRET,
                "timing": "at_once",
            }
        },
    }
)


async def _form_a_habit(here: World) -> None:
    """Four days of use, so that the fifth without is a stop."""
    for day in (2, 3, 4, 5):
        await here.use(f"2026-03-{day:02d}T10:00:00")


async def test_a_stop_is_one_trace_from_its_decision_to_the_webhook_which_goes_on_with_it(
    tmp_path: Path,
) -> None:
    with traced() as traces:
        async with world(tmp_path) as here:
            await _form_a_habit(here)
            last_use = traces.named("POST /v1/events")[-1]
            await here.time_is("2026-03-06T14:16:00")
            (webhook,) = here.receiver.requests
            (task,) = (await here.http.get("/v1/tasks")).json()["tasks"]
    decision, take, attempt = (
        traces.one(name) for name in ("decide usage.stopped", "take usage.stopped", "deliver phone")
    )
    assert decision.parent is None
    (link,) = decision.links
    assert link.split("-")[1] == last_use.trace_id, "yesterday's event, for the stop itself is silence"
    assert {take.parent, attempt.parent} == {decision.traceparent}
    assert webhook.headers["traceparent"] == attempt.traceparent
    trigger = msgspec.json.decode(webhook.body)
    for span in (decision, take, attempt):
        assert span.attributes["usage_triggers.trigger.id"] == trigger["id"]
        assert span.attributes["usage_triggers.customer.id"] == "c-17"
    assert take.attributes["usage_triggers.task.id"] == task["id"]
    assert attempt.attributes["usage_triggers.task.id"] == task["id"]
    assert attempt.attributes["usage_triggers.delivery.result"] == "delivered"
    batch = traces.one(f"process {TOPIC_TRIGGERS}")
    assert (batch.parent, batch.links) == (None, (decision.traceparent,))


async def test_no_span_holds_what_a_customer_is_called_or_what_signs_a_webhook(tmp_path: Path) -> None:
    with traced() as traces:
        async with world(tmp_path) as here:
            await _form_a_habit(here)
            await here.time_is("2026-03-06T14:16:00")
            (webhook,) = here.receiver.requests
    told = traces.text()
    assert "usage.stopped" in told
    secrets = ("鮨", "ut_", SECRET, webhook.headers["webhook-signature"], "reservation.created")
    assert [secret for secret in secrets if secret in told] == []


async def test_each_attempt_at_a_webhook_is_a_span_and_one_that_fails_does_not_say_why(
    tmp_path: Path,
) -> None:
    with traced() as traces:
        async with world(tmp_path) as here:
            await _form_a_habit(here)
            here.receiver.answers = [Answer(status=500, body=b"the password is hunter2")]
            await here.time_is("2026-03-06T14:16:00")
            await here.time_is("2026-03-06T14:30:00")
    first, second = traces.named("deliver phone")
    assert (first.is_error, second.is_error) == (True, False)
    assert [span.attributes["usage_triggers.delivery.attempt"] for span in (first, second)] == [1, 2]
    assert first.trace_id == second.trace_id
    assert "hunter2" not in traces.text()


@pytest.mark.kafka
@pytest.mark.postgres
async def test_over_kafka_and_postgres_a_trace_goes_as_far(own_kafka: KafkaServer, postgres_url: str) -> None:
    settings = Settings.model_validate(
        {
            "DATABASE_URL": postgres_url,
            "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers,
            "KAFKA_PARTITIONS": 2,
        }
    )
    database = open_database(settings)
    await bring_up(database)
    await database.close()
    receiver = Receiver()
    with traced("kafka") as traces:
        async with distributed(AT_ONCE, settings, SystemClock()) as opened:
            base = msgspec.structs.replace(
                opened, open_client=lambda _private: receiver, random=random.Random(1)
            )
            await _post_and_deliver(base, receiver)
    request, batch, decision, attempt = (
        traces.one(name)
        for name in (
            "POST /v1/events",
            f"process {TOPIC_EVENTS}",
            "decide habit.formed",
            "deliver phone",
        )
    )
    append = traces.one(f"append {TOPIC_EVENTS}")
    assert (request.parent, append.parent) == (REQUEST, request.traceparent)
    assert batch.links == (append.traceparent,)
    assert set(decision.links) == {append.traceparent, batch.traceparent}
    assert attempt.parent == decision.traceparent
    assert receiver.requests[0].headers["traceparent"] == attempt.traceparent
    assert _systems(traces) == {"kafka"}


async def _post_and_deliver(base: Foundations, receiver: Receiver) -> None:
    """An event over HTTP, and every worker in turn until the webhook is out."""
    assembly = assemble(base)
    headers = {"Authorization": f"Bearer {await base.keys.create('reserve')}", "traceparent": REQUEST}
    transport = httpx.ASGITransport(assembly.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://here", headers=headers) as http:
        assert (await http.post("/v1/events", json={"customer_id": "c-17"})).status_code == 202
    steps = [
        assembly.workers[name].step for name in ("evaluator", "relay", "notifier", "timekeeper", "sender")
    ]
    for _ in range(ROUNDS_MAX):
        if receiver.requests:
            break
        for step in steps:
            await step()
    await assembly.close()


def _systems(traces: Traces) -> set[object]:
    spans: list[SpanSeen] = [span for span in traces.spans if span.kind in ("producer", "consumer")]
    return {span.attributes["messaging.system"] for span in spans}
