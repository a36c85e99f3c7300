"""Mail by SMTP: one message a letter, a day's digest aside, each over a connection of its own."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.message import EmailMessage

import aiosmtplib

from services.notifier.channels.channel import Pace, Result
from services.notifier.messages.letter import Letter
from shared.config import EmailChannel
from shared.errors import ConfigError

ATTEMPT_SECONDS = 20.0
"""From the first packet to the server's word that it has the mail, whatever it says in between."""

FAREWELL_SECONDS = 2.0
PORTS = {"starttls": 587, "tls": 465, "none": 25}

Render = Callable[[Sequence[Letter], Sequence[str], int], EmailMessage]
"""A letter, or the several of a day's digest, whom to send them to, and now (microseconds) to a mail."""

RecipientsOf = Callable[[Letter], Sequence[str]]


class Mailer:
    """Hands mails to one SMTP server.

    SMTP knows no idempotency key: a mail whose answer got lost is sent again under the same Message-ID.
    """

    pace = Pace(places=4)

    def __init__(
        self,
        name: str,
        section: EmailChannel,
        recipients_of: RecipientsOf,
        render: Render,
        *,
        tls: ssl.SSLContext | None = None,
        attempt_seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        """`tls` None: certificates are checked as the system does. Raises ConfigError for no address."""
        for address in (section.sender, *section.to):
            if "@" not in address or not address.isprintable():
                raise ConfigError(f"channels.{name}: {address!r} is no mail address")
        self._section = section
        self._recipients_of = recipients_of
        self._render = render
        self._tls = tls
        self._attempt_seconds = attempt_seconds

    async def send(self, letters: Sequence[Letter], now_us: int) -> Result:
        letter = letters[0]
        to = self._recipients_of(letter)
        if not to:
            owner = letter.task.owner or "nobody"
            return Result(verdict="dead", detail=f"no mail address for {owner}, and the channel has no `to`")
        try:
            await self._hand_over(self._render(letters, to, now_us))
        except aiosmtplib.SMTPException as error:
            return _failure(error)
        except TimeoutError:
            return Result(verdict="retry", detail="no answer in time", uncertain=True)
        except OSError as error:
            return Result(verdict="retry", detail=str(error)[:200])
        except ValueError as error:
            return Result(verdict="dead", detail=f"cannot be written: {error}"[:200])
        return Result(verdict="delivered", detail=f"to {', '.join(to)}")

    async def _hand_over(self, mail: EmailMessage) -> None:
        section = self._section
        client = aiosmtplib.SMTP(
            hostname=section.host,
            port=section.port or PORTS[section.security],
            username=section.user,
            password=section.password,
            use_tls=section.security == "tls",
            start_tls=section.security == "starttls",
            tls_context=self._tls,
            timeout=self._attempt_seconds,
        )
        try:
            # The library bounds each command; a server that is slow in all ten would outlast the lease.
            async with asyncio.timeout(self._attempt_seconds):
                await client.connect()
                await client.send_message(mail)
            with suppress(aiosmtplib.SMTPException):  # The server has the mail, however it says goodbye.
                await client.quit(timeout=FAREWELL_SECONDS)
        finally:
            client.close()

    async def close(self) -> None:
        """No connection outlives its mail."""


def _failure(error: aiosmtplib.SMTPException) -> Result:
    """5xx stays the same until somebody changes something; a refused sign-in concerns every mail."""
    detail = " ".join(str(error).split())[:200]
    code = _code(error)
    if isinstance(error, aiosmtplib.SMTPAuthenticationError) and code >= 500:
        return Result(verdict="disabled", detail=detail)
    if code >= 500:
        return Result(verdict="dead", detail=detail)
    # Whoever hung up or fell silent may have taken the mail.
    is_unsure = isinstance(error, aiosmtplib.SMTPReadTimeoutError | aiosmtplib.SMTPServerDisconnected)
    return Result(verdict="retry", detail=detail, uncertain=is_unsure)


def _code(error: aiosmtplib.SMTPException) -> int:
    """The server's status; 0 where it gave none."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return max((refused.code for refused in error.recipients), default=0)
    return error.code if isinstance(error, aiosmtplib.SMTPResponseException) else 0
