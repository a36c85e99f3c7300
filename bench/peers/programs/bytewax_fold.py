"""bytewax: a stateful map over the topic, in memory and without a recovery store; stops go to a topic."""

from importlib.metadata import version

import bytewax.operators as op
import msgspec
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main
from confluent_kafka import OFFSET_BEGINNING
from job import EVENT, Asked, Meter, State, asked, day_of, fold, report

Use = tuple[str, int]


def main(wanted: Asked) -> None:
    meter = Meter(wanted.event_count)
    states: dict[str, State] = {}
    stops: list[Use] = []

    def use(message: KafkaSourceMessage[bytes, bytes]) -> Use | None:
        event = msgspec.json.decode(message.value)
        return (event["customer_id"], day_of(event["occurred_us"])) if event["kind"] == EVENT else None

    def take(state: State | None, day: int) -> tuple[State, tuple[State, int | None]]:
        after, stopped_on = fold(state, day)
        meter.count()
        return after, (after, stopped_on)

    def keep(keyed: tuple[str, tuple[State, int | None]]) -> KafkaSinkMessage[bytes, bytes] | None:
        customer_id, (state, stopped_on) = keyed
        states[customer_id] = state
        if stopped_on is None:
            return None
        stops.append((customer_id, stopped_on))
        return KafkaSinkMessage(customer_id.encode(), msgspec.json.encode([customer_id, stopped_on]))

    flow = Dataflow("peer")
    source = KafkaSource(
        [wanted.kafka], [wanted.topic], tail=False, starting_offset=OFFSET_BEGINNING, batch_size=1_000
    )
    uses = op.filter_map("uses", op.input("in", flow, source), use)
    folded = op.stateful_map("fold", uses, take)
    op.output("out", op.filter_map("stops", folded, keep), KafkaSink([wanted.kafka], wanted.stops_topic))
    run_main(flow)
    report(wanted, meter.seconds, states, stops, bytewax=version("bytewax"))


if __name__ == "__main__":
    main(asked())
