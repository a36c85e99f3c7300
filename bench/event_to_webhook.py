"""From the acceptance of the deciding event to the first byte at a webhook receiver; embedded, idle machine.

    python -m bench.event_to_webhook [--runs 50]

The deciding event is the one that completes a habit of one day, each time of a new customer: its trigger
needs no clock to come round. The receiver is a bare socket on this machine that answers 200; the way
over it alone is measured too, as what cannot be saved.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from bench.record import conclude, result
from bench.result import Figure, Result, Target
from services.bootstrap import assemble
from services.foundations import embedded
from services.serving import bind, serve, url_of
from shared.clock import SystemClock
from shared.config import Config
from shared.settings import Settings
from shared.telemetry import configure_logging

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
WAIT_SECONDS_MAX = 30.0


class Receiver:
    """Notes when the first byte of each request comes in."""

    def __init__(self) -> None:
        self.first_byte_at = 0.0
        self.came = asyncio.Event()

    async def open(self) -> str:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while first := await reader.read(1):
            self.first_byte_at = time.perf_counter()
            head = first + await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_content_length(head))
            writer.write(ANSWER)
            await writer.drain()
            self.came.set()
        writer.close()


def main() -> Result:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    runs = parser.parse_args().runs
    configure_logging("WARNING")  # every delivery is a line otherwise
    took, bare = asyncio.run(_measure(runs))
    p95 = quantiles(took, n=20)[-1] if len(took) > 1 else took[0]
    return result(
        "event_to_webhook",
        __doc__,
        load=f"{runs} runs, one after the other",
        figures=[
            milliseconds("accepted event to the first byte", took, Target(at_most=50)),
            milliseconds("the same, 95th percentile", [p95]),
            milliseconds("a bare POST to the same receiver", bare),
        ],
        parts=["fastapi", "httpx", "uvicorn"],
    )


def milliseconds(name: str, seconds: list[float], target: Target | None = None) -> Figure:
    """Seconds as a figure in milliseconds."""
    values = tuple(1_000 * took for took in seconds)
    return Figure(name=name, unit="ms", values=values, target=target)


async def _measure(runs: int) -> tuple[list[float], list[float]]:
    receiver = Receiver()
    hook = await receiver.open()
    with tempfile.TemporaryDirectory() as directory, bind("127.0.0.1", 0) as listener:
        settings = Settings.model_validate({"USAGE_TRIGGERS_DATA": Path(directory)})
        async with embedded(Config.model_validate(config_sections(hook)), settings, SystemClock()) as base:
            ready, stop = asyncio.Event(), asyncio.Event()

            async def on_ready() -> None:
                ready.set()

            served = asyncio.create_task(serve(assemble(base), listener, on_ready=on_ready, stop=stop))
            await ready.wait()
            headers = {"Authorization": f"Bearer {await base.keys.create('bench')}"}
            async with httpx.AsyncClient(base_url=url_of(listener), headers=headers, trust_env=False) as http:
                took = [await _one(http, receiver, run) for run in range(runs + 1)][1:]
                bare = [await _bare(http, hook, receiver) for _ in range(runs)]
            stop.set()
            await served
    return took, bare


async def _one(http: httpx.AsyncClient, receiver: Receiver, run: int) -> float:
    receiver.came.clear()
    answer = await http.post("/v1/events", json={"customer_id": f"c-{run}"})
    accepted_at = time.perf_counter()
    assert answer.status_code == 202, answer.text
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await receiver.came.wait()
    await asyncio.sleep(0.3)  # idle again: nothing of this one is left to be written
    return receiver.first_byte_at - accepted_at


async def _bare(http: httpx.AsyncClient, hook: str, receiver: Receiver) -> float:
    started = time.perf_counter()
    await http.post(hook, content=b"{}")
    return receiver.first_byte_at - started


def config_sections(hook: str) -> dict[str, Any]:
    """A configuration by which the first day of a customer is told to `hook`."""
    return {
        "products": {
            "bench": {
                "rules": {"first": {"kind": "streak", "days": 1, "emit": "first.day"}},
                "playbooks": [{"on": "first.day", "send": ["hook"]}],
            }
        },
        "channels": {
            "hook": {
                "kind": "webhook",
                "url": hook,
                "secret": "whsec_" + "YmVuY2gtYmVuY2gtYmVuY2gtYmVuY2g=",
                "allow_private": True,
                "timing": "at_once",
            }
        },
    }


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


if __name__ == "__main__":
    conclude(main())
