"""The running service as the commands see it: posts over HTTP, waiting out what is transient."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import msgspec

from shared.errors import PermanentError, TransientError

ATTEMPTS_MAX = 6
WAIT_SECONDS_MAX = 30.0
TIMEOUT_SECONDS = 60.0
_REFUSALS = frozenset((400, 413, 415, 422))
"""What a service says of one item that it cannot take."""


class Accepted(msgspec.Struct, frozen=True):
    """What became of one request: how many items were taken, and (index, code, message) of the others."""

    count: int
    rejected: Sequence[tuple[int, str, str]]


class Remote:
    """A service at `url`, used as `async with`."""

    def __init__(self, url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        if not key:
            raise PermanentError("an API key is needed: give it with --key, or as USAGE_TRIGGERS_KEY")
        self._url = url
        self._has_answered = False
        self._client = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT_SECONDS,
            transport=transport,
            trust_env=False,
        )

    async def __aenter__(self) -> "Remote":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def post(self, path: str, body: bytes, *, content_type: str, backfill: bool = True) -> Accepted:
        """Posts a batch until the service has taken it. Raises PermanentError, or TransientError at last."""
        params = {"backfill": "true"} if backfill else {}
        headers = {"Content-Type": content_type}
        answer = await self._send("POST", path, content=body, params=params, headers=headers)
        return _accepted(answer)

    async def post_again(self, path: str, body: bytes, *, content_type: str) -> Accepted:
        """Posts one item that was refused before, as backfill; refused again, it counts as rejected."""
        headers = {"Content-Type": content_type}
        params = {"backfill": "true"}
        return _accepted(
            await self._send("POST", path, _REFUSALS, content=body, params=params, headers=headers)
        )

    async def get(self, path: str, **params: Any) -> Any:
        """What stands there."""
        return _body(self._checked(await self._send("GET", path, params=params)))

    async def post_json(self, path: str, body: Mapping[str, str]) -> None:
        """Asks for a change; that somebody else was first (409) is no failure."""
        answer = await self._client.post(path, json=body)
        if answer.status_code != 409:
            self._checked(answer)

    async def put(self, path: str, body: bytes) -> Accepted:
        """Puts one thing; refused for what it is, it counts as rejected."""
        answer = await self._send("PUT", path, content=body, headers={"Content-Type": "application/json"})
        if answer.is_success:
            return Accepted(1, ())
        said = _body(answer)
        return Accepted(0, [(0, str(said.get("code")), str(said.get("message")))])

    async def _send(
        self, method: str, path: str, answers: frozenset[int] = frozenset((422,)), **how: Any
    ) -> httpx.Response:
        """The answer once there is one: a success, or one of the statuses that are `answers` here."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                answer = await self._client.request(method, path, **how)
            except httpx.TransportError as error:
                if isinstance(error, httpx.UnsupportedProtocol):
                    raise PermanentError(f"{self._url} is no http:// or https:// address") from error
                failure, wait = f"{self._url} does not answer: {str(error) or type(error).__name__}", 0.0
                if isinstance(error, httpx.ConnectError) and not self._has_answered:
                    raise TransientError(f"{failure}; is it running there?") from error
            else:
                self._has_answered = True
                if answer.status_code not in (429, 502, 503, 504):
                    return self._checked(answer, answers)
                failure, wait = f"{self._url}: {_said(answer)}", _retry_after(answer)
            if attempt < ATTEMPTS_MAX:
                await asyncio.sleep(min(max(wait, 0.25 * 2**attempt), WAIT_SECONDS_MAX))
        raise TransientError(
            f"{failure} (after {ATTEMPTS_MAX} attempts); importing again changes nothing twice"
        )

    def _checked(self, answer: httpx.Response, answers: frozenset[int] = frozenset((422,))) -> httpx.Response:
        # 422 says which items were refused and is an answer like any other.
        if answer.is_success or answer.status_code in answers:
            return answer
        raise PermanentError(f"{self._url}: {_said(answer)}")


def _accepted(answer: httpx.Response) -> Accepted:
    said = _body(answer)
    if "accepted" not in said:
        # The one body is refused as a whole: it was not even a list of items.
        return Accepted(0, [(0, str(said.get("code", answer.status_code)), _said(answer))])
    rejected = [(item["index"], item["code"], item["message"]) for item in said.get("rejected", ())]
    return Accepted(said["accepted"], rejected)


def _retry_after(answer: httpx.Response) -> float:
    wish = answer.headers.get("retry-after", "")
    return float(wish) if wish.isdecimal() else 0.0


def _said(answer: httpx.Response) -> str:
    message = _body(answer).get("message")
    return f"{answer.status_code}: {message}" if message else f"answered {answer.status_code}"


def _body(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        said = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return {}
    return said if isinstance(said, dict) else {}
