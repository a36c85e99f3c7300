"""One of several evaluators: gets its share of the partitions, waits for the word, reads until it is ended.

While it waits the group hears from it, for the loop is free.
"""

import asyncio
import sys

from bench.on_kafka import products
from services.evaluator.store import EvaluatorStore
from services.evaluator.worker import Evaluator
from shared.clock import SystemClock
from shared.database import open_postgres
from shared.log.kafka import KafkaLog
from shared.log.kafka_connection import KafkaConnection

READY = "ready"


async def main(bootstrap_servers: str, url: str, share: str) -> None:
    log = KafkaLog(KafkaConnection(bootstrap_servers=bootstrap_servers), SystemClock())
    store = EvaluatorStore(open_postgres(url))
    evaluator = Evaluator(log=log, store=store, products=products(), clock=SystemClock())
    while len(evaluator.partitions()) != int(share):
        await evaluator.step()
    print(READY, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    while True:
        await evaluator.step()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
