"""Sends `2 x COUNT` events with one real SDK: half of them, then, when told on standard input, the rest.

    python send.py SDK URL KEY COUNT

Event n carries the property n; group and message id are made of it. Written for an interpreter that has
the SDKs and none of the project.
"""

import sys
from collections.abc import Callable
from uuid import NAMESPACE_URL, uuid5

Send = Callable[[int], object]
Flush = Callable[[], object]


def message_id(n: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"event {n}"))


def segment(url: str, key: str) -> tuple[Send, Flush]:
    from segment.analytics import Client

    client = Client(key, host=url, gzip=True, max_retries=20)
    return (
        lambda n: client.track(
            "u-1", "Used", {"n": n}, context={"groupId": f"g-{n % 5}"}, message_id=message_id(n)
        ),
        client.flush,
    )


def rudder(url: str, key: str) -> tuple[Send, Flush]:
    from rudderstack.analytics import Client

    client = Client(key, host=url, max_retries=20)
    return (
        lambda n: client.track(
            "u-1", "Used", {"n": n}, context={"groupId": f"g-{n % 5}"}, message_id=message_id(n)
        ),
        client.flush,
    )


def posthog(url: str, key: str) -> tuple[Send, Flush]:
    from posthog import Posthog

    client = Posthog(key, host=url, max_retries=20)
    return (
        lambda n: client.capture(
            "Used",
            distinct_id="u-1",
            properties={"n": n},
            groups={"company": f"g-{n % 5}"},
            uuid=message_id(n),
        ),
        client.flush,
    )


def cloudevents(url: str, key: str) -> tuple[Send, Flush]:
    import requests
    from cloudevents.core.bindings.http import to_binary_event, to_structured_event
    from cloudevents.core.v1.event import CloudEvent

    def send(n: int) -> None:
        attributes = {"id": message_id(n), "source": "/shop", "type": "used", "subject": f"g-{n % 5}"}
        event = CloudEvent({**attributes, "specversion": "1.0"}, {"n": n})
        message = (to_binary_event if n % 2 else to_structured_event)(event)
        headers = {**message.headers, "Authorization": f"Bearer {key}"}
        requests.post(f"{url}/v1/events", data=message.body, headers=headers, timeout=30).raise_for_status()

    return send, lambda: None


SDKS = {"segment": segment, "rudder": rudder, "posthog": posthog, "cloudevents": cloudevents}


def main() -> None:
    sdk, url, key, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    send, flush = SDKS[sdk](url, key)
    for half in range(2):
        if half and sys.stdin.readline() != "go on\n":
            raise SystemExit("nobody said to go on")
        for n in range(half * count, (half + 1) * count):
            send(n)
        flush()
        sys.stdout.write("sent\n")
        sys.stdout.flush()


main()
