"""Key to partition: the same answer in every process and, on Kafka, as the Java client gives it."""

from functools import lru_cache
from zlib import crc32

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_KEYS_CACHED_MAX = 65_536


def crc32_partition(key: bytes, partition_count: int) -> int:
    """The embedded log's partition of `key`."""
    return crc32(key) % partition_count


@lru_cache(maxsize=_KEYS_CACHED_MAX)
def murmur2_partition(key: bytes, partition_count: int) -> int:
    """Kafka's default partition of `key`, so that a foreign producer's records keep a customer together.

    Cached because customers come back: hashing in Python costs a microsecond or two, a hit a tenth.
    """
    return (murmur2(key) & 0x7FFFFFFF) % partition_count


def murmur2(key: bytes) -> int:
    """MurmurHash2 of 32 bits with the Java client's seed, unsigned."""
    length = len(key)
    tail_at = length & ~3
    value = (_SEED ^ length) & _MASK
    for at in range(0, tail_at, 4):
        word = int.from_bytes(key[at : at + 4], "little") * _M & _MASK
        word = (word ^ (word >> 24)) * _M & _MASK
        value = (value * _M & _MASK) ^ word
    if length > tail_at:
        value = (value ^ int.from_bytes(key[tail_at:], "little")) * _M & _MASK
    value = (value ^ (value >> 13)) * _M & _MASK
    return value ^ (value >> 15)
