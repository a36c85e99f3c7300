"""Posts one request over and over on many connections, and costs the machine as little as a client can.

One thread and one epoll. The request is built beforehand and goes out in one call. Of an answer nothing is
parsed: it begins with its status and ends with its body, both known beforehand, or the run fails.
"""

import select
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

ANSWER_BYTES_MAX = 64 << 10
SECONDS_MAX = 60.0


@contextmanager
def connected(port: int, count: int, request_size: int) -> Iterator[Sequence[socket.socket]]:
    """So many connections to `port` of this machine, each with room for a whole request on its way."""
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.socket()) for _ in range(count)]
        for connection in connections:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * request_size)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.settimeout(SECONDS_MAX)
            connection.connect(("127.0.0.1", port))
        yield connections


def post(
    connections: Sequence[socket.socket], request: bytes, count: int, *, begins: bytes, ends: bytes
) -> float:
    """Seconds by the clock until `count` requests are answered, on each connection one after the other.

    Raises ConnectionError for an answer that is not as expected, or does not come.
    """
    unsent_count, unanswered_count = count, count
    waiting: dict[int, tuple[socket.socket, bytes]] = {}
    started = time.perf_counter()
    with select.epoll() as poll:
        for connection in connections[:count]:
            poll.register(connection, select.EPOLLIN)
            waiting[connection.fileno()] = connection, b""
            connection.sendall(request)
            unsent_count -= 1
        while unanswered_count:
            ready = poll.poll(SECONDS_MAX)
            if not ready:
                raise ConnectionError(f"no answer within {SECONDS_MAX:g} s")
            for number, _ in ready:
                connection, before = waiting[number]
                answer = before + connection.recv(ANSWER_BYTES_MAX)
                if answer == before or not answer.startswith(begins[: len(answer)]):
                    raise ConnectionError(f"answered by {answer!r}")
                if not answer.endswith(ends):
                    waiting[number] = connection, answer
                    continue
                unanswered_count -= 1
                if before:
                    waiting[number] = connection, b""
                if unsent_count:
                    connection.sendall(request)
                    unsent_count -= 1
    return time.perf_counter() - started
