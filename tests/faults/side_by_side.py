"""Runs the cases of a module a few at a time, for a fault is mostly waiting; tests look at outcomes."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, NamedTuple, TypeVar

import pytest

AT_ONCE_MAX = 8

CaseT = TypeVar("CaseT", bound=Hashable)
ResultT = TypeVar("ResultT")


class Outcome(NamedTuple, Generic[ResultT]):
    """What became of a case: its result, or why it did not end well."""

    result: ResultT | None
    failure: BaseException | None

    def get(self) -> ResultT:
        """The result; raises the failure as it was."""
        if self.failure is not None:
            raise self.failure
        assert self.result is not None
        return self.result


def wanted(request: pytest.FixtureRequest, function: str) -> list[object]:
    """The values of `case` for which this session is going to run a test of the requesting module."""
    return [
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == request.path and item.originalname == function
    ]


def run_all(
    cases: Sequence[CaseT], scenario: Callable[[CaseT], Awaitable[ResultT]]
) -> dict[CaseT, Outcome[ResultT]]:
    """The outcome of every case; one that fails does not touch the others."""
    return asyncio.run(_all(cases, scenario))


async def _all(
    cases: Sequence[CaseT], scenario: Callable[[CaseT], Awaitable[ResultT]]
) -> dict[CaseT, Outcome[ResultT]]:
    room = asyncio.Semaphore(AT_ONCE_MAX)

    async def one(case: CaseT) -> tuple[CaseT, Outcome[ResultT]]:
        async with room:
            try:
                return case, Outcome(await scenario(case), None)
            except Exception as failure:
                # Told by the test of this case, and no other.
                return case, Outcome(None, failure)

    return dict(await asyncio.gather(*map(one, cases)))
