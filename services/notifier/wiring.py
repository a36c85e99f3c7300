"""Puts the notifier together: channels from the configuration, workers, routes; the one place that does."""

import asyncio
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from typing import Any, Protocol

from fastapi import APIRouter

from services.notifier import api, slack_route
from services.notifier.channels.channel import Channel
from services.notifier.channels.http import ClientFactory, open_client
from services.notifier.channels.mailer import Mailer
from services.notifier.channels.preset import PresetTool
from services.notifier.channels.slack import SlackBot, SlackWebhook
from services.notifier.channels.webhook import SignedWebhook
from services.notifier.delivery.sender import Sender
from services.notifier.desk.actions import Desk
from services.notifier.desk.census import Census
from services.notifier.desk.intake import Intake
from services.notifier.desk.timekeeper import Timekeeper
from services.notifier.messages.facts import facts_of
from services.notifier.messages.letter import Letter
from services.notifier.messages.mail import MailSetting, mail_of, recipients_of
from services.notifier.messages.mail_digest import digest_of
from services.notifier.messages.telling import slack_renderer
from services.notifier.parts import NotifierParts
from services.notifier.web.access import Access
from services.notifier.web.site import Site
from shared.config import Channel as ChannelSection
from shared.config import Config, EmailChannel, SlackChannel


class Worker(Protocol):
    """Something that runs until it is told to stop."""

    async def run(self, stop: asyncio.Event) -> None: ...


class Notifier:
    """A notifier put together: run its workers, serve its routers, close it."""

    def __init__(self, parts: NotifierParts) -> None:
        """Raises ConfigError for a channel that cannot be used."""
        self._listeners: list[Callable[[], None]] = []
        self.channels = open_channels(parts)
        self.sender = Sender(parts, self.channels)
        self.intake = Intake(parts, self._announce)
        self.desk = Desk(parts, self._announce)
        self.timekeeper = Timekeeper(parts, self._announce)
        self.workers: dict[str, Worker] = {
            "intake": self.intake,
            "sender": self.sender,
            "timekeeper": self.timekeeper,
            "census": Census(parts),
        }
        self._parts = parts
        self.api = APIRouter()
        self.api.include_router(api.router(parts, self.desk, self.sender))
        if (clicks := slack_route.router(parts, self.desk, self.channels)) is not None:
            self.api.include_router(clicks)

    def pages(self, access: Access) -> Site:
        """The inbox, for whomever `access` lets in; it follows what this process changes."""
        made = Site(self._parts, self.desk, access, self._announce)
        self.listen(made.pulse.poke)
        return made

    def listen(self, listener: Callable[[], None]) -> None:
        """`listener` is called after every change of tasks that this process made."""
        self._listeners.append(listener)

    async def close(self) -> None:
        """Closes the channels; the workers have ended by then."""
        await self.intake.close()
        for channel in self.channels.values():
            await channel.close()

    def _announce(self) -> None:
        self.sender.wake()
        self.timekeeper.wake()
        for listener in self._listeners:
            listener()


def check_channels(config: Config, public_url: str | None = None) -> None:
    """Raises ConfigError for a channel that cannot be used; connects to nothing."""
    for name, section in config.channels.items():
        _open(name, section, config, open_client, public_url)


def open_channels(parts: NotifierParts) -> dict[str, Channel]:
    """Every channel of the configuration, each with a client of its own. Raises ConfigError."""
    return {
        name: _open(name, section, parts.config, parts.open_client, parts.public_url)
        for name, section in parts.config.channels.items()
    }


def _open(
    name: str, section: ChannelSection, config: Config, make_client: ClientFactory, public_url: str | None
) -> Channel:
    if isinstance(section, SlackChannel):
        kind = SlackWebhook if section.token is None else SlackBot
        render = slack_renderer(section, config.csms, public_url)
        return kind(name, section, make_client(section.allow_private), render)
    if isinstance(section, EmailChannel):
        return _mailer(name, section, config, public_url)
    if section.preset is None:
        return SignedWebhook(name, section, make_client(section.allow_private))

    def facts(letter: Letter) -> dict[str, Any]:
        return facts_of(letter, config.csms, section.language, public_url)

    return PresetTool(name, section, make_client(section.allow_private), facts)


def _mailer(name: str, section: EmailChannel, config: Config, public_url: str | None) -> Mailer:
    setting = MailSetting(section=section, csms=config.csms, inbox_url=public_url)

    def recipients(letter: Letter) -> tuple[str, ...]:
        return recipients_of(letter, setting)

    def render(letters: Sequence[Letter], to: Sequence[str], now_us: int) -> EmailMessage:
        if len(letters) > 1:
            return digest_of(letters, setting, to, now_us)
        return mail_of(letters[0], setting, to, now_us)

    return Mailer(name, section, recipients, render)
