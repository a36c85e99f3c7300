"""One of several evaluators: gets its share of the partitions, waits for the word, and reads what is its.

While it waits the group hears from it, for the loop is free.
"""

import asyncio
import sys

from bench.on_kafka import products, records_read
from services.evaluator.store import EvaluatorStore
from services.evaluator.worker import Evaluator
from shared.clock import SystemClock
from shared.database import open_postgres
from shared.events import TOPIC_EVENTS
from shared.log.kafka import KafkaLog
from shared.log.kafka_connection import KafkaConnection

READY, DONE = "ready", "done"


async def main(bootstrap_servers: str, url: str, share: str) -> None:
    log = KafkaLog(KafkaConnection(bootstrap_servers=bootstrap_servers), SystemClock())
    store = EvaluatorStore(open_postgres(url))
    evaluator = Evaluator(log=log, store=store, products=products(), clock=SystemClock())
    while len(evaluator.partitions()) != int(share):
        await evaluator.step()
    print(READY, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    ends = await log.ends(TOPIC_EVENTS)
    count = sum(ends[number] for number in evaluator.partitions())
    while records_read() < count:
        await evaluator.step()
    print(DONE, flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
