"""faust-streaming: an agent over a table with the memory store and its changelog; stops go to a topic."""

import os
from importlib.metadata import version

import faust
import msgspec
from job import EVENT, Asked, Meter, State, asked, day_of, fold, report


def main(wanted: Asked) -> None:
    app = faust.App(
        wanted.stops_topic,
        broker=f"kafka://{wanted.kafka}",
        store="memory://",
        web_enabled=False,
        topic_partitions=int(os.environ["PARTITIONS"]),
        topic_replication_factor=1,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        datadir=wanted.directory / "faust",
    )
    uses = app.topic(wanted.topic, key_type=bytes, value_type=bytes, value_serializer="raw")
    told = app.topic(wanted.stops_topic, value_type=bytes, value_serializer="raw")
    days = app.Table("days", partitions=int(os.environ["PARTITIONS"]))
    meter = Meter(wanted.event_count)
    stops: list[tuple[str, int]] = []

    @app.agent(uses)
    async def take(stream: faust.Stream) -> None:
        async for value in stream:
            event = msgspec.json.decode(value)
            if event["kind"] != EVENT:
                continue
            key = event["customer_id"]
            kept = days.get(key)
            before = State(*kept) if kept else None
            after, stopped_on = fold(before, day_of(event["occurred_us"]))
            if after != before:
                days[key] = list(after)
            if stopped_on is not None:
                stops.append((key, stopped_on))
                await told.send(value=msgspec.json.encode([key, stopped_on]))
            if meter.count():
                states = {customer_id: State(*state) for customer_id, state in days.items()}
                report(wanted, meter.seconds, states, stops, faust_streaming=version("faust-streaming"))
                os._exit(0)  # its own shutdown takes longer than the run

    faust.Worker(app, loglevel="ERROR").execute_from_commandline()


if __name__ == "__main__":
    main(asked())
