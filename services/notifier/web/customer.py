"""A customer's page: its last days, where it stands, what was decided about it, and who did what."""

from collections.abc import Mapping
from datetime import timedelta

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.notifier.messages import status, wording
from services.notifier.messages.render import dialled
from services.notifier.messages.words import Words
from services.notifier.parts import NotifierParts, OpenCount, Standing, Streak
from services.notifier.planning.zones import instant_of, local_day, zone
from services.notifier.store import records
from services.notifier.tasks.lifecycle import Task
from services.notifier.web import inbox
from services.notifier.web.calendar import Calendar, calendar_of
from services.notifier.web.frame import Frame, Reader
from shared.config import CsmSection
from shared.errors import NotFound
from shared.triggers import CustomerFacts, Trigger

CALENDAR_DAYS = 91
TASKS_MAX, TRIGGERS_MAX, TRAIL_MAX = 30, 50, 100


class CustomerPage:
    """Gathers what is known of a customer and renders it."""

    def __init__(self, parts: NotifierParts, frame: Frame) -> None:
        self._parts = parts
        self._frame = frame

    async def show(self, request: Request, product: str, customer_id: str) -> Response:
        """Raises NotFound for a customer about whom nothing was ever decided and no day is known."""
        reader = await self._frame.reader(request)
        async with self._parts.database.read() as connection:
            tasks = await records.customer_tasks(connection, product, customer_id, count_max=TASKS_MAX)
            decided = await records.customer_triggers(
                connection, product, customer_id, count_max=TRIGGERS_MAX
            )
            trail = await records.trail_of(connection, [t.id for t in tasks], count_max=TRAIL_MAX)
        facts = next((trigger.data.customer for trigger in decided), None)
        if facts is None and tasks:
            facts = tasks[0].trigger.data.customer
        facts = facts or CustomerFacts(id=customer_id)
        now_us, said = self._parts.clock.now_us(), reader.words
        its_zone = zone(self._zone_name(product, tasks, facts))
        calendar = await self._calendar(product, customer_id, decided, reader, now_us, str(its_zone.key))
        if calendar is None and not tasks and not decided:
            raise NotFound("this customer does not exist, or no longer")
        by_id, csms = {task.id: task for task in tasks}, self._frame.config.csms
        return self._frame.render(
            request,
            "customer.html",
            said,
            viewer=reader.viewer,
            today=said.day(local_day(now_us, reader.zone), year=True),
            name=said.name(facts.name) if facts.name else customer_id,
            product=product,
            facts=_facts(facts, said, csms),
            phone=facts.phone or "",
            dialled=dialled(facts.phone or ""),
            calendar=calendar,
            standing=_standing_lines(await self._standing(product, customer_id), said),
            decided=[
                (said.moment(instant_of(t.timestamp), its_zone), wording.type_said(t.type, said), t.data.rule)
                for t in decided
            ],
            rows=[inbox.row_of(task, said, csms, now_us) for task in tasks],
            opened={task.id: said.moment(task.opened_us, its_zone) for task in tasks},
            trail=[inbox.trail_line(line, said, csms, now_us, by_id.get(line.task_id)) for line in trail],
            outcomes=status.outcomes(said),
            query="",
        )

    def _zone_name(self, product: str, tasks: list[Task], facts: CustomerFacts) -> str:
        if tasks:
            return tasks[0].plan.contact.zone
        section = self._frame.config.products.get(product)
        return facts.time_zone or (section.time_zone if section is not None else "UTC")

    async def _calendar(
        self,
        product: str,
        customer_id: str,
        decided: list[Trigger],
        reader: Reader,
        now_us: int,
        zone_name: str,
    ) -> Calendar | None:
        if self._parts.days_of is None:
            return None
        last_on = local_day(now_us, zone(zone_name))
        first_on = last_on - timedelta(days=CALENDAR_DAYS - 1)
        days = await self._parts.days_of(product, customer_id, first_on, last_on)
        stopped = [trigger.data.day for trigger in decided if trigger.type.endswith(".stopped")]
        return calendar_of(days, max(stopped, default=None), reader.words)

    async def _standing(self, product: str, customer_id: str) -> Standing:
        if self._parts.standing_of is None:
            return Standing()
        return await self._parts.standing_of(product, customer_id)


def _facts(facts: CustomerFacts, words: Words, csms: Mapping[str, CsmSection]) -> list[wording.Line]:
    found = [
        wording.Line(words.say("Customer id"), facts.id),
        wording.Line(words.say("Segment"), facts.segment or ""),
        wording.Line(words.say("CSM"), inbox.owner_said(facts.csm, csms, words) if facts.csm else ""),
        wording.Line(words.say("Time zone"), facts.time_zone or ""),
        wording.Line(words.say("Reachable"), (facts.contact_window or "").replace("-", "–")),
        wording.Line(words.say("Monthly revenue"), f"{facts.mrr:,.0f}" if facts.mrr is not None else ""),
        wording.Line(
            words.say("Renewal"), words.day(facts.renewal_on, year=True) if facts.renewal_on else ""
        ),
    ]
    return [line for line in found if line.text]


def _standing_lines(standing: Standing, words: Words) -> list[wording.Line]:
    streaks = [_streak_line(streak, words) for streak in standing.streaks]
    return streaks + [_count_line(count, words) for count in standing.counts]


def _count_line(count: OpenCount, words: Words) -> wording.Line:
    said = words.say(
        "%(n)s of %(asked)s, until %(day)s",
        n=count.count,
        asked=count.at_least,
        day=words.day(count.last_day),
    )
    return wording.Line(count.rule, said)


def _streak_line(streak: Streak, words: Words) -> wording.Line:
    if not streak.length or streak.started_on is None:
        return wording.Line(streak.rule, words.say("no streak at present"))
    days = words.count("%(n)s active day", "%(n)s active days", streak.length)
    since = words.day(streak.started_on)
    return wording.Line(streak.rule, words.say("%(days)s since %(since)s", days=days, since=since))


def add_customer(made: APIRouter, page: CustomerPage) -> None:
    """`/customer?product=&id=`: an id may hold anything, so it is no part of the path."""

    @made.get("/customer")
    async def show_customer(request: Request, product: str = "", id: str = "") -> Response:
        return await page.show(request, product, id)
