"""Traces of an evaluator: links to whoever asked, a trace of its own for every decision."""

from pathlib import Path

from shared.events import TOPIC_EVENTS, TOPIC_TRIGGERS, encode, record_key
from shared.log import Message
from shared.log.traced import TracedLog
from tests.traces import REQUEST, traced
from tests.unit.evaluator.pipeline import Pipeline, pipeline, use_daily

OTHER = REQUEST.replace("4bf92f35", "11111111")


async def traced_use(p: Pipeline, customer: str, traceparent: str | None = REQUEST) -> None:
    message = Message(value=encode(p.event(customer)), key=record_key("p", customer), traceparent=traceparent)
    await p.log.append(TOPIC_EVENTS, [message])


async def test_a_batch_has_no_parent_and_a_link_to_each_request(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        with traced() as traces:
            for customer, traceparent in (("a", REQUEST), ("b", OTHER), ("c", REQUEST), ("d", None)):
                await traced_use(p, customer, traceparent)
            await p.drain()
    seen = traces.one(f"process {TOPIC_EVENTS}")
    assert (seen.kind, seen.parent, set(seen.links)) == ("consumer", None, {REQUEST, OTHER})
    assert seen.attributes["messaging.batch.message_count"] == 4
    assert seen.attributes["messaging.destination.partition.id"] == "0"


async def test_the_passing_of_time_leaves_no_trace(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        with traced() as traces:
            await p.use("a")
            await p.settle()
            await p.tick()
            await p.settle()
    assert traces.spans == []


async def test_a_habit_is_decided_in_a_trace_that_is_linked_to_the_event_and_its_batch(
    tmp_path: Path,
) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=2)
        p.at(2, 12)
        with traced() as traces:
            await traced_use(p, "a")
            await p.settle()
    batch, decision = traces.one(f"process {TOPIC_EVENTS}"), traces.one("decide habit.formed")
    assert decision.parent is None
    assert set(decision.links) == {REQUEST, batch.traceparent}
    assert decision.trace_id not in (batch.trace_id, REQUEST.split("-")[1])
    assert decision.attributes["usage_triggers.customer.id"] == "a"


async def test_a_stop_is_decided_in_a_trace_that_is_linked_to_the_last_event(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", "b", days=3)
        with traced() as traces:
            p.at(3, 12)
            await traced_use(p, "a")
            await p.settle()
            p.at(5, 12)
            await p.settle()
            relayed = [record.traceparent for record in p.log.records(TOPIC_TRIGGERS)]
    stops = traces.named("decide usage.stopped")
    decisions = {span.attributes["usage_triggers.customer.id"]: span for span in stops}
    assert decisions["a"].links == (REQUEST,), "the event of the day before is remembered"
    assert decisions["b"].links == (), "nobody traced has asked for this one"
    assert {span.traceparent for span in decisions.values()} <= set(relayed)


async def test_what_could_not_be_written_was_not_decided(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=2)
        p.at(2, 12)
        with traced() as traces:
            await traced_use(p, "a")
            p.store.is_away = True
            await p.evaluator.step()
            assert traces.spans == []
            p.store.is_away = False
            await p.settle()
    assert len(traces.named("decide habit.formed")) == 1


async def test_the_relay_appends_in_a_span_that_is_linked_to_the_decisions(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        await use_daily(p, "a", days=2)
        p.at(2, 12)
        with traced() as traces:
            p.relay._log = TracedLog(p.log)
            await traced_use(p, "a")
            await p.settle()
    decision, append = traces.one("decide habit.formed"), traces.one(f"append {TOPIC_TRIGGERS}")
    assert (append.kind, append.parent, append.links) == ("producer", None, (decision.traceparent,))
    (record,) = p.log.records(TOPIC_TRIGGERS)
    assert record.traceparent == decision.traceparent, "a record keeps the context that it brought"
