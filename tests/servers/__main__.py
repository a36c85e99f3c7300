"""`python -m tests.servers`: bring both up, print the environment variables, wait for an interrupt.

`python -m tests.servers COMMAND ...` runs the command with those variables instead, and ends with it.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from tests.servers import Missing, find_kafka, find_postgres


def main(command: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with contextlib.ExitStack() as servers:
        places: dict[str, str] = {}
        try:
            kafka = find_kafka()
            servers.callback(kafka.close)
            places["KAFKA_BOOTSTRAP_SERVERS"] = kafka.bootstrap_servers
            postgres = find_postgres()
            servers.callback(postgres.close)
            places["DATABASE_URL"] = postgres.url
        except Missing as missing:
            print(missing, file=sys.stderr)
            if not command:
                return 1
        if command:  # tests say themselves what they miss
            return subprocess.run(command, env=os.environ | places, check=False).returncode
        for name, value in places.items():
            print(f"export {name}={value}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
