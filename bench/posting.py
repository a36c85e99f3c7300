"""Posts one request over and over on many connections, and costs the machine as little as a client can.

One thread and one epoll. The request is built beforehand and goes out in one call. Of an answer nothing is
parsed: it begins with its status and ends with its body, both known beforehand, or the run fails.
"""

import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import msgspec

ANSWER_BYTES_MAX = 64 << 10
SECONDS_MAX = 60.0


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """A request, and how its answer begins and ends."""

    request: bytes
    begins: bytes
    ends: bytes


class Connection:
    """Asks for one answer at a time."""

    def __init__(self, port: int, asking: Asking) -> None:
        self._asking = asking
        self._answer = b""
        self.socket = socket.socket()
        # Room for a whole request on its way: whoever asks here does not wait for somebody else to read.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(asking.request))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(SECONDS_MAX)
        self.socket.connect(("127.0.0.1", port))

    def ask(self) -> None:
        self._answer = b""
        self.socket.sendall(self._asking.request)

    def is_answered(self) -> bool:
        """Reads what there is; raises ConnectionError for an answer other than expected."""
        come = self.socket.recv(ANSWER_BYTES_MAX)
        self._answer += come
        if not come or not self._answer.startswith(self._asking.begins[: len(self._answer)]):
            raise ConnectionError(f"answered by {self._answer!r}")
        return self._answer.endswith(self._asking.ends)


@contextmanager
def connected(port: int, count: int, asking: Asking) -> Iterator[Sequence[Connection]]:
    """So many connections to `port` of this machine."""
    with ExitStack() as stack:
        connections = [Connection(port, asking) for _ in range(count)]
        for connection in connections:
            stack.enter_context(connection.socket)
        yield connections


def post(connections: Sequence[Connection], count: int) -> float:
    """Seconds by the clock until `count` requests are answered, on each connection one after the other.

    Raises ConnectionError where an answer does not come.
    """
    asked = connections[:count]
    unasked_count, unanswered_count = count - len(asked), count
    by_number = {connection.socket.fileno(): connection for connection in asked}
    started = time.perf_counter()
    with select.epoll() as poll:
        for number, connection in by_number.items():
            poll.register(number, select.EPOLLIN)
            connection.ask()
        while unanswered_count:
            for number in _ready(poll):
                connection = by_number[number]
                if connection.is_answered():
                    unanswered_count -= 1
                    if unasked_count:
                        unasked_count -= 1
                        connection.ask()
    return time.perf_counter() - started


def _ready(poll: select.epoll) -> Sequence[int]:
    found = poll.poll(SECONDS_MAX)
    if not found:
        raise ConnectionError(f"no answer within {SECONDS_MAX:g} s")
    return [number for number, _ in found]
