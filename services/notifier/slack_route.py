"""`POST /slack/actions`: the buttons of Slack's messages, signed by Slack, acting through the same desk."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from fastapi import APIRouter
from slack_sdk.signature import Clock as SlackClock
from slack_sdk.signature import SignatureVerifier
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from services.notifier.channels.channel import Channel
from services.notifier.channels.slack import SlackBot
from services.notifier.desk.actions import Desk
from services.notifier.messages.clicks import Click, clicks_in, csm_of, decision
from services.notifier.messages.words import Words, words
from services.notifier.parts import NotifierParts
from shared.clock import Clock
from shared.config import CsmSection, SlackChannel
from shared.errors import TransientError, Unauthorized, UsageTriggersError

log = structlog.get_logger()

ANSWER_SECONDS_MAX = 2.5
"""Slack shows the clicker a failure after 3."""


class _Clock(SlackClock):
    """Ours, in the shape that Slack's verifier asks for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now_us() / 1_000_000


def router(parts: NotifierParts, desk: Desk, channels: Mapping[str, Channel]) -> APIRouter | None:
    """The route; None where no channel has buttons, so that nothing answers there."""
    bots = [
        (SignatureVerifier(section.signing_secret, _Clock(parts.clock)), bot)
        for name, section in parts.config.channels.items()
        if isinstance(section, SlackChannel)
        and section.signing_secret is not None
        and isinstance(bot := channels[name], SlackBot)
    ]
    if not bots:
        return None
    made = APIRouter(include_in_schema=False)

    @made.post("/slack/actions")
    async def actions(request: Request) -> Response:
        body = await request.body()
        bot = next((bot for verifier, bot in bots if _is_signed(verifier, body, request.headers)), None)
        if bot is None:
            raise Unauthorized("not signed by Slack, or more than 5 minutes ago", code="bad_signature")
        found = [(click, await _act(click, desk, parts.config.csms)) for click in clicks_in(body)]
        complaints = [(click, said) for click, said in found if said]
        # Slack waits for the answer alone; whoever clicked hears a moment later what stood in the way.
        return Response(background=BackgroundTask(_whisper, bot, complaints) if complaints else None)

    return made


def _is_signed(verifier: SignatureVerifier, body: bytes, headers: Mapping[str, str]) -> bool:
    try:
        return bool(verifier.is_valid_request(body, dict(headers)))
    except (ValueError, TypeError):  # a timestamp that is no number, a signature or a body that is no text
        return False


async def _act(click: Click, desk: Desk, csms: Mapping[str, CsmSection]) -> str:
    """Changes the task; what stood in the way, in the clicker's words, or nothing."""
    said = words(next((csm.language for csm in csms.values() if csm.slack == click.user), "en"))
    try:
        actor = csm_of(click, csms)
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await desk.change(click.task_id, decision(click, actor))
    except (TimeoutError, TransientError):
        return said.say("That did not work just now. Please click again in a minute.")
    except UsageTriggersError as error:
        log.info("a click came to nothing", task=click.task_id, user=click.user, error=error.message)
        return _complaint(error, click, said)
    return ""


def _complaint(error: UsageTriggersError, click: Click, said: Words) -> str:
    """What stood in the way, for somebody who sees the message and nothing else."""
    match error.code:
        case "task_closed":
            return said.say("This call is closed already; the message says how.")
        case "unknown_csm":
            return said.say("No CSM has `slack: %(user)s` in the configuration.", user=click.user)
        case "not_found":
            return said.say("This call does not exist any more.")
        case _:
            return said.say("That was not done: %(why)s", why=error.message)


async def _whisper(bot: SlackBot, complaints: Sequence[tuple[Click, str]]) -> None:
    for click, said in complaints:
        await bot.whisper(click.user, click.channel, said)
