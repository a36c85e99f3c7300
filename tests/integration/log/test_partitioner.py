"""Keys lie where Kafka's Java client puts them, so that a foreign producer keeps a customer together."""

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from shared.partitioner import crc32_partition, murmur2, murmur2_partition


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),  # these six are the test vectors of Kafka's own UtilsTest
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_is_the_java_clients(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected & 0xFFFFFFFF


@given(st.binary(max_size=64))
def test_the_hash_agrees_with_aiokafkas_on_every_length(key: bytes) -> None:
    assert murmur2(key) == murmur2_of_aiokafka(key) & 0xFFFFFFFF


@given(st.binary(max_size=64), st.integers(min_value=1, max_value=256))
def test_every_key_has_a_partition_and_keeps_it(key: bytes, count: int) -> None:
    for partition_of in (murmur2_partition, crc32_partition):
        assert 0 <= partition_of(key, count) < count
        assert partition_of(key, count) == partition_of(key, count)
