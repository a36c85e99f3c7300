"""quixstreams: a stateful stream with RocksDB and its changelog topic; stops go to a topic."""

from importlib.metadata import version
from typing import Any

from job import EVENT, Asked, Meter, State, asked, day_of, fold, report
from quixstreams import Application
from quixstreams.state import State as Store


def main(wanted: Asked) -> None:
    app = Application(
        broker_address=wanted.kafka,
        consumer_group=wanted.stops_topic,
        auto_offset_reset="earliest",
        state_dir=wanted.directory / "state",
        loglevel="ERROR",
    )
    meter = Meter(wanted.event_count)
    states: dict[str, State] = {}
    stops: list[tuple[str, int]] = []

    def take(event: dict[str, Any], store: Store) -> list[dict[str, Any]]:
        customer_id = event["customer_id"]
        kept = store.get("days")
        before = State(*kept) if kept else None
        after, stopped_on = fold(before, day_of(event["occurred_us"]))
        if after != before:
            store.set("days", list(after))
            states[customer_id] = after  # beside the store, which cannot be listed, for the comparison
        if meter.count():
            app.stop()
        if stopped_on is None:
            return []
        stops.append((customer_id, stopped_on))
        return [{"customer_id": customer_id, "day": stopped_on}]

    uses = app.dataframe(app.topic(wanted.topic, value_deserializer="json", key_deserializer="bytes"))
    uses = uses.filter(lambda event: event["kind"] == EVENT)
    uses = uses.apply(take, stateful=True, expand=True)
    uses.to_topic(app.topic(wanted.stops_topic, value_serializer="json", key_serializer="bytes"))
    app.run()
    report(wanted, meter.seconds, states, stops, quixstreams=version("quixstreams"))


if __name__ == "__main__":
    main(asked())
