"""Records that are not where the evaluator stands are never folded, and no gap is believed at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from services.evaluator import folding
from shared.events import TOPIC_EVENTS, encode, record_key
from shared.log import Record
from tests.fakes.log import MemoryConsumer
from tests.unit.evaluator.pipeline import (
    Pipeline,
    instant_us,
    pipeline,
)


class _ScriptedConsumer(MemoryConsumer):
    """Hands out what a script says instead of what the log holds."""

    def __init__(self, consumer: MemoryConsumer, script: list[Mapping[int, Sequence[Record]]]) -> None:
        super().__init__(consumer._log, consumer.topic, consumer.group)
        self.assign(consumer.assignment())
        self.script = script
        self.seeks: list[tuple[int, int]] = []

    def seek(self, partition: int, offset: int) -> None:
        self.seeks.append((partition, offset))
        super().seek(partition, offset)

    async def fetch(self, *, records_max: int, timeout_seconds: float) -> Mapping[int, Sequence[Record]]:
        if self.script:
            return self.script.pop(0)
        return {}


async def scripted(p: Pipeline, *answers: Sequence[int]) -> _ScriptedConsumer:
    """The evaluator gets records of these offsets, one answer after another."""
    await p.evaluator.step()
    events = {n: encode(p.event("a", occurred_us=instant_us(n, 12))) for answer in answers for n in answer}
    script = [
        {0: [_record(offset, events[offset]) for offset in answer]} if answer else {} for answer in answers
    ]
    consumer = _ScriptedConsumer(p.evaluator._consumer, script)  # type: ignore[arg-type]
    p.evaluator._consumer = consumer
    p.evaluator._owned.clear()
    return consumer


def _record(offset: int, value: bytes) -> Record:
    return Record(
        partition=0,
        offset=offset,
        appended_us=instant_us(offset, 12),
        key=record_key("p", "a"),
        value=value,
    )


async def test_a_gap_is_believed_once_the_log_repeats_it(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        consumer = await scripted(p, [0, 1], [4, 5], [4, 5])
        await p.evaluator.step()
        await p.evaluator.step()
        assert await p.position() == 2
        assert consumer.seeks[-1] == (0, 2)
        await p.evaluator.step()
        assert await p.position() == 6


async def test_a_gap_within_a_batch_ends_it_there(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        consumer = await scripted(p, [0, 1, 5], [5], [5])
        await p.evaluator.step()
        assert await p.position() == 2
        assert consumer.seeks[-1] == (0, 2)
        await p.evaluator.step()
        await p.evaluator.step()
        assert await p.position() == 6


async def test_records_from_before_our_place_are_never_folded(tmp_path: Path) -> None:
    async with pipeline(tmp_path) as p:
        consumer = await scripted(p, [0, 1, 2], [1, 2, 3], [1, 2, 3], [3])
        for _ in range(3):
            await p.evaluator.step()
        assert await p.position() == 3
        assert consumer.seeks[-2:] == [(0, 3), (0, 3)]
        await p.evaluator.step()
        assert await p.position() == 4


async def test_an_offset_outside_the_log_stops_the_partition_and_is_never_reset(tmp_path: Path) -> None:
    async with pipeline(tmp_path, partitions=2) as p:
        await p.evaluator.step()
        memory = p.evaluator._owned[1].memory
        assert memory is not None
        memory.next_offset = 700  # the store is ahead of a log that was set up anew
        await p.store.write(folding.sweep(memory, []).batch, now_us=0)
        p.restart()
        p.at(0, 12)
        for name in ("a", "b", "c", "d"):
            await p.use(name)
        await p.drain()
        [problem] = p.evaluator.problems()
        assert problem.startswith("usage.events/1 is stopped: ")
        assert "offset 700 is not in the log" in problem
        assert await p.position(1) == 700
        assert await p.position(0) == len(p.log.records(TOPIC_EVENTS, 0)) > 0
