"""A clock that runs faster than another one: months pass while one looks on."""

from shared.clock import Clock

SECOND_US = 1_000_000


class FastClock:
    """Starts at `at_us` and runs `rate` times as fast as `base`; at rate 0 it stands still."""

    def __init__(self, base: Clock, *, at_us: int, rate: float = 0.0) -> None:
        self._base = base
        self._at_us = at_us
        self._since_us = base.now_us()
        self._rate = rate

    def now_us(self) -> int:
        return self._at_us + int((self._base.now_us() - self._since_us) * self._rate)

    def run_at(self, rate: float) -> None:
        """From now on `rate` times as fast as the base; no instant is skipped or repeated."""
        self._at_us, self._since_us = self.now_us(), self._base.now_us()
        self._rate = rate
