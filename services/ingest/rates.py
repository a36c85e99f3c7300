"""How much each key may send: a bucket of tokens per key, refilled as time passes."""

import math
from collections import OrderedDict

from shared.errors import RateLimited

BURST_SECONDS = 10
_BUCKETS_MAX = 10_000
_SECOND_US = 1_000_000


class Rates:
    """Buckets by key. A request may overdraw its key's bucket, and the next ones wait until it is filled.

    So a batch is never cut in two or counted before it is read, and what is sent on the average stays
    within the bound all the same.
    """

    def __init__(self, per_second_max: int | None) -> None:
        self._per_second = per_second_max
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, key: str, now_us: int) -> None:
        """Raises RateLimited while the bucket of `key` is overdrawn."""
        if self._per_second is None:
            return
        tokens = self._tokens(key, now_us, self._per_second)
        if tokens < 0:
            seconds = math.ceil(-tokens / self._per_second)
            message = f"more than {self._per_second} events a second; try again in {seconds} s"
            raise RateLimited(message, retry_after_seconds=seconds)

    def charge(self, key: str, count: int, now_us: int) -> None:
        """Take `count` tokens out, one at the least: an empty request is a request too."""
        if self._per_second is None:
            return
        tokens = self._tokens(key, now_us, self._per_second) - max(count, 1)
        self._buckets[key] = (tokens, now_us)
        self._buckets.move_to_end(key)
        if len(self._buckets) > _BUCKETS_MAX:
            self._buckets.popitem(last=False)

    def _tokens(self, key: str, now_us: int, per_second: int) -> float:
        full = float(per_second * BURST_SECONDS)
        tokens, since_us = self._buckets.get(key, (full, now_us))
        # A clock set back refills nothing, and takes nothing away.
        return min(full, tokens + max(0, now_us - since_us) / _SECOND_US * per_second)
