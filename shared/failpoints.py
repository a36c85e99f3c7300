"""Named places at which a process may be made to die or freeze, so that crash tests enumerate them.

`USAGE_TRIGGERS_FAILPOINT="evaluator.written:3"` kills the process with SIGKILL when it reaches that place for
the third time; `evaluator.written:3:stop` freezes it with SIGSTOP instead, which makes a zombie of it.
Without the variable a place costs one function call and one comparison.
"""

import os
import signal
from collections.abc import Callable

from shared.errors import SetupError

VARIABLE = "USAGE_TRIGGERS_FAILPOINT"

POINTS = (
    "log.append.begun",  # rows of the embedded log are in the transaction, not committed
    "log.append.committed",
    "evaluator.claim.begun",
    "evaluator.claim.committed",
    "evaluator.batch.decided",  # in memory alone
    "evaluator.batch.fenced",  # the offset is moved inside the transaction, nothing else
    "evaluator.batch.written",  # every row is in the transaction, not committed
    "evaluator.batch.committed",
    "evaluator.sweep.decided",
    "evaluator.sweep.committed",
    "evaluator.group.committed",
    "ticker.read",  # the clock is read, the tick not sent
    "ticker.sent",
    "relay.read",
    "relay.appended",  # acknowledged by the log, not marked
    "relay.marked",
    "schema.begun",
    "schema.written",
    "notifier.batch.written",
    "notifier.batch.committed",
    "notifier.claimed",
    "notifier.sent",  # the receiver said 200, not marked
    "notifier.recorded",
)
"""The closed list; a crash test walks all of it."""

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class Failpoint:
    """One armed place: counts its hits and strikes at the n-th."""

    def __init__(self, spec: str, strike: Callable[[signal.Signals], None]) -> None:
        """`spec` is `name:n` or `name:n:kill|stop`; raises SetupError on anything else."""
        name, _, rest = spec.partition(":")
        count, _, action = rest.partition(":")
        if name not in POINTS or not count.isdigit() or (action or "kill") not in _SIGNALS:
            raise SetupError(f"{VARIABLE}={spec!r} is not name:n or name:n:stop with a name of {__name__}")
        self._name = name
        self._hits_left = int(count)
        self._signal = _SIGNALS[action or "kill"]
        self._strike = strike

    def reached(self, name: str) -> None:
        if name == self._name:
            self._hits_left -= 1
            if self._hits_left == 0:
                self._strike(self._signal)


def _strike_this_process(signal_number: signal.Signals) -> None:
    os.kill(os.getpid(), signal_number)


_armed = Failpoint(os.environ[VARIABLE], _strike_this_process) if os.environ.get(VARIABLE) else None


def hit(name: str) -> None:
    """This place is reached; returns unless it is the armed one and its turn has come."""
    if _armed is not None:
        _armed.reached(name)
