"""The operation page, for admins: how far the readers are, what is held, did not arrive, or was refused."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from fastapi import APIRouter, Form
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from services.notifier.delivery import channel_rows, sent
from services.notifier.delivery.sent import DeliveryFilter
from services.notifier.desk import guarding
from services.notifier.desk.actions import Desk
from services.notifier.messages.words import Words
from services.notifier.parts import NotifierParts
from services.notifier.planning.zones import local_day
from services.notifier.store import records
from services.notifier.store.records import Position
from services.notifier.tasks.announce import Delivery
from services.notifier.web.faults import fault_said
from services.notifier.web.frame import HEADERS, Frame, Reader, is_part
from shared.errors import Conflict, InvalidInput, LogUnavailable, NotFound, UsageTriggersError
from shared.http import status_of

DELIVERIES_MAX, LETTERS_MAX = 50, 50
LATE_US = 60_000_000
"""A watermark further behind than this means that time stands still for its customers."""


class Operation:
    """Gathers how the service does and renders it."""

    def __init__(self, parts: NotifierParts, frame: Frame) -> None:
        self._parts = parts
        self.frame = frame

    async def show(self, request: Request, *, fault: UsageTriggersError | None = None) -> Response:
        """Everything but the dead letters, which take longer and are asked for by the page."""
        reader = await self.frame.admin(request)
        now_us, said = self._parts.clock.now_us(), reader.words
        async with self._parts.database.read() as connection:
            positions = await records.positions(connection)
            held = await guarding.held(connection)
            channels = await channel_rows.states(connection)
            dead = await sent.deliveries(connection, DeliveryFilter(state="dead"), count_max=DELIVERIES_MAX)
            waiting = await sent.deliveries(
                connection, DeliveryFilter(state="pending"), count_max=DELIVERIES_MAX
            )
        ends = await self._ends({position.topic for position in positions})
        return self.frame.render(
            request,
            "operation.html",
            said,
            status=200 if fault is None else status_of(fault),
            viewer=reader.viewer,
            today=said.day(local_day(now_us, reader.zone), year=True),
            fault=fault_said(fault, said) if fault is not None else "",
            standings=[_standing(position, ends, now_us, said) for position in positions],
            held=[(outage, said.moment(outage.opened_us, reader.zone)) for outage in held],
            channels=[
                (state, said.moment(state.disabled_us, reader.zone) if state.disabled_us else "")
                for state in channels.values()
                if state.disabled_us or state.failure_count
            ],
            dead=self._told(dead, reader),
            retrying=self._told([d for d in waiting if d.attempt_count], reader),
            has_letters=self._parts.letters is not None,
        )

    async def _ends(self, topics: Iterable[str]) -> dict[str, Mapping[int, int]]:
        """Where each topic ends; empty while the log does not answer: the rest is worth seeing then."""
        try:
            return {topic: await self._parts.log.ends(topic) for topic in topics}
        except LogUnavailable:
            return {}

    def _told(self, deliveries: Sequence[Delivery], reader: Reader) -> list[tuple[Delivery, str, str]]:
        said = reader.words
        return [
            (
                delivery,
                said.moment(delivery.created_us, reader.zone),
                said.time(delivery.next_attempt_us, reader.zone) if delivery.next_attempt_us else "",
            )
            for delivery in deliveries
        ]

    async def letters(self, request: Request) -> Response:
        """The newest dead letters, as a part of the page."""
        reader = await self.frame.admin(request)
        if self._parts.letters is None:
            raise NotFound("dead letters cannot be read here")
        found = await self._parts.letters.newest(LETTERS_MAX)
        said = reader.words
        return self.frame.render(
            request,
            "letters.html",
            said,
            viewer=reader.viewer,
            letters=[(letter, said.moment(letter.rejected_us, reader.zone)) for letter in found],
        )

    async def replay(self, request: Request, delivery_id: str) -> None:
        """Sends one delivery again, or every dead one for an empty id. Raises Conflict."""
        await self.frame.admin(request)
        async with self._parts.database.begin() as connection:
            count = await sent.replay(
                connection,
                DeliveryFilter(),
                now_us=self._parts.clock.now_us(),
                delivery_id=delivery_id or None,
            )
        if delivery_id and not count:
            raise Conflict("the outage guard holds this delivery, or it is gone", code="held")

    async def send_again(self, request: Request, letter_id: str) -> None:
        """Sends the event of a dead letter in again."""
        await self.frame.admin(request)
        if self._parts.letters is None:
            raise NotFound("dead letters cannot be read here")
        await self._parts.letters.send_again(letter_id)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How far a reader of the log is, as the page says it; empty where that is not known."""

    position: Position
    lag: str
    behind: str
    is_late: bool
    quiet: str


def _standing(
    position: Position, ends: Mapping[str, Mapping[int, int]], now_us: int, words: Words
) -> Standing:
    end = ends.get(position.topic, {}).get(position.partition)
    behind_us = max(0, now_us - position.watermark_us) if position.watermark_us else None
    return Standing(
        position=position,
        lag="" if end is None else str(max(0, end - position.next_offset)),
        behind="" if behind_us is None else words.span(behind_us),
        is_late=behind_us is not None and behind_us > LATE_US,
        quiet=words.span(max(0, now_us - position.updated_us)),
    )


def add_operation(made: APIRouter, page: Operation, desk: Desk, on_news: Callable[[], None]) -> None:
    """`/operator`, its parts and its forms; `on_news` wakes whoever sends."""

    @made.get("/operator")
    async def show_operation(request: Request) -> Response:
        return await page.show(request)

    @made.get("/operator/letters")
    async def show_letters(request: Request) -> Response:
        return await page.letters(request)

    async def back(request: Request, error: UsageTriggersError | None) -> Response:
        if error is not None:
            return await page.show(request, fault=error)
        if is_part(request):
            return Response(status_code=204, headers=HEADERS | {"HX-Refresh": "true"})
        return RedirectResponse("/operator", status_code=303, headers=HEADERS)

    @made.post("/operator/replay")
    async def replay(request: Request, delivery: str = Form(default="")) -> Response:
        try:
            await page.replay(request, delivery)
        except Conflict as error:
            return await back(request, error)
        on_news()
        return await back(request, None)

    @made.post("/operator/letters/replay")
    async def send_again(request: Request, letter: str = Form()) -> Response:
        try:
            await page.send_again(request, letter)
        except (Conflict, InvalidInput, NotFound) as error:
            return await back(request, error)
        return await back(request, None)

    @made.post("/operator/release")
    async def release(request: Request, outage: str = Form()) -> Response:
        reader = await page.frame.admin(request)
        try:
            await desk.release(outage, reader.viewer.actor)
        except (Conflict, NotFound) as error:
            return await back(request, error)
        return await back(request, None)
