"""Mail by SMTP: one message a letter, a day's digest aside, each over a connection of its own."""

import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage

import aiosmtplib

from services.notifier.channels import Letter, Pace, Result
from shared.config import EmailChannel
from shared.errors import ConfigError

ATTEMPT_SECONDS = 20.0
PORTS = {"starttls": 587, "tls": 465, "none": 25}

Render = Callable[[Letter, Sequence[str], int], EmailMessage]
"""A letter, whom to send it to, and now (microseconds) to a mail."""

RenderDigest = Callable[[Sequence[Letter], Sequence[str], int], EmailMessage]
"""The calls beyond a CSM's day, whom to send them to, and now to a mail."""

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
        render_digest: RenderDigest | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` None: certificates are checked as the system does. Raises ConfigError for no address."""
        for address in (section.sender, *section.to):
            if "@" not in address or not address.isprintable():
                raise ConfigError(f"channels.{name}: {address!r} is no mail address")
        self._section = section
        self._recipients_of = recipients_of
        self._render = render
        self._render_digest = render_digest
        self._tls = tls

    async def send(self, letters: Sequence[Letter], now_us: int) -> Result:
        letter = letters[0]
        to = self._recipients_of(letter)
        if not to:
            owner = letter.task.owner or "nobody"
            return Result(verdict="dead", detail=f"no mail address for {owner}, and the channel has no `to`")
        try:
            await self._hand_over(self._written(letters, to, now_us))
        except aiosmtplib.SMTPException as error:
            return _failure(error)
        except (OSError, ssl.SSLError) as error:
            return Result(verdict="retry", detail=str(error)[:200])
        except ValueError as error:
            return Result(verdict="dead", detail=f"cannot be written: {error}"[:200])
        return Result(verdict="delivered", detail=f"to {', '.join(to)}")

    def _written(self, letters: Sequence[Letter], to: Sequence[str], now_us: int) -> EmailMessage:
        if len(letters) > 1 and self._render_digest is not None:
            return self._render_digest(letters, to, now_us)
        (letter,) = letters
        return self._render(letter, to, now_us)

    async def _hand_over(self, mail: EmailMessage) -> None:
        section = self._section
        await aiosmtplib.send(
            mail,
            hostname=section.host,
            port=section.port or PORTS[section.security],
            username=section.user,
            password=section.password,
            use_tls=section.security == "tls",
            start_tls=section.security == "starttls",
            tls_context=self._tls,
            timeout=ATTEMPT_SECONDS,
        )

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
