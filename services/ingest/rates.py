"""How much each key may send: a bucket of tokens per key, refilled as time passes."""

import math
from collections import OrderedDict

from shared.auth import ApiKey
from shared.errors import RateLimited

BURST_SECONDS = 10
_BUCKETS_MAX = 10_000
_SECOND_US = 1_000_000


class Rates:
    """Buckets by key. A request may overdraw its key's bucket, and the next ones wait until it is filled.

    So a batch is never cut in two or counted before it is read, and what is sent on the average stays
    within the bound all the same. `per_second_max` holds for keys without a bound of their own.
    """

    def __init__(self, per_second_max: int | None) -> None:
        self._per_second_max = per_second_max
        self._buckets: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def check(self, key: ApiKey, now_us: int) -> None:
        """Raises RateLimited while the bucket of `key` is overdrawn."""
        per_second = self._bound(key)
        if per_second is None:
            return
        tokens = self._tokens(key.prefix, now_us, per_second)
        if tokens < 0:
            seconds = math.ceil(-tokens / per_second)
            message = f"more than {per_second} events a second; try again in {seconds} s"
            raise RateLimited(message, retry_after_seconds=seconds)

    def charge(self, key: ApiKey, count: int, now_us: int) -> None:
        """Take `count` tokens out, one at the least: an empty request is a request too."""
        per_second = self._bound(key)
        if per_second is None:
            return
        tokens = self._tokens(key.prefix, now_us, per_second) - max(count, 1)
        self._buckets[key.prefix] = (tokens, now_us)
        self._buckets.move_to_end(key.prefix)
        if len(self._buckets) > _BUCKETS_MAX:
            self._buckets.popitem(last=False)

    def _bound(self, key: ApiKey) -> int | None:
        return self._per_second_max if key.events_per_second_max is None else key.events_per_second_max

    def _tokens(self, prefix: str, now_us: int, per_second: int) -> float:
        full = float(per_second * BURST_SECONDS)
        tokens, since_us = self._buckets.get(prefix, (full, now_us))
        # A clock set back refills nothing, and takes nothing away.
        return min(full, tokens + max(0, now_us - since_us) / _SECOND_US * per_second)
