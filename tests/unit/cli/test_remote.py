"""Posting waits out what is transient, and says what is not."""

from collections.abc import Callable

import httpx
import pytest

from services.commands.remote import Remote
from shared.errors import PermanentError, TransientError


def remote(answer: Callable[[httpx.Request], httpx.Response]) -> Remote:
    return Remote("http://service", "ut_key", transport=httpx.MockTransport(answer))


async def post(there: Remote) -> tuple[int, list[tuple[int, str, str]]]:
    async with there:
        accepted = await there.post("/v1/events", b"[]", content_type="application/json")
    return accepted.count, list(accepted.rejected)


async def test_a_batch_is_sent_as_backfill_with_the_key() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["backfill"] == "true"
        assert request.headers["authorization"] == "Bearer ut_key"
        return httpx.Response(202, json={"accepted": 3, "rejected": []})

    assert await post(remote(answer)) == (3, [])


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_service_is_asked_again(status: int) -> None:
    answers = [
        httpx.Response(status, headers={"Retry-After": "0"}),
        httpx.Response(202, json={"accepted": 1}),
    ]
    assert await post(remote(lambda _request: answers.pop(0))) == (1, [])


async def test_refused_items_are_told_by_their_place() -> None:
    body = {"code": "invalid", "accepted": 0, "rejected": [{"index": 4, "code": "invalid", "message": "m"}]}
    assert await post(remote(lambda _request: httpx.Response(422, json=body))) == (0, [(4, "invalid", "m")])


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            {"code": "unauthorized", "message": "unknown or revoked API key"},
            "401: unknown or revoked API key",
        ),
        (404, None, "answered 404"),
        (500, None, "answered 500"),
    ],
)
async def test_what_will_not_change_is_an_error_at_once(status: int, body: object, said: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json=body)

    with pytest.raises(PermanentError, match=said):
        await post(remote(answer))
    assert len(asked) == 1


async def test_nobody_there_is_told_at_once() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(TransientError, match="is it running there"):
        await post(remote(refuse))


def test_without_a_key_nothing_is_sent() -> None:
    with pytest.raises(PermanentError, match="--key"):
        Remote("http://service", "")
