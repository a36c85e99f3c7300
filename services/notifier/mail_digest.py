"""Makes one mail of the calls beyond a CSM's day: a line each, with a link into the inbox."""

from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr

from services.notifier import wording
from services.notifier.channels import Letter
from services.notifier.render import task_url
from services.notifier.telling import language_of
from services.notifier.words import Words, words
from shared.clock import from_us
from shared.config import CsmSection, EmailChannel


def digest_of(
    letters: Sequence[Letter],
    section: EmailChannel,
    csms: Mapping[str, CsmSection],
    inbox_url: str | None,
    *,
    to: Sequence[str],
    now_us: int,
) -> EmailMessage:
    """The mail; its Message-ID is that of the first delivery in it."""
    said = words(language_of(letters, csms, section.language))
    subject = said.count(
        "%(n)s more call than today has room for", "%(n)s more calls than today has room for", len(letters)
    )
    mail = EmailMessage()
    mail["From"] = section.sender
    mail["To"] = ", ".join(to)
    mail["Subject"] = subject
    mail["Date"] = format_datetime(from_us(now_us))
    mail["Message-ID"] = f"<{letters[0].delivery.id}@{parseaddr(section.sender)[1].rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content("\n".join([subject, "", *(_line(letter, said, inbox_url) for letter in letters)]) + "\n")
    return mail


def _line(letter: Letter, said: Words, inbox_url: str | None) -> str:
    task = letter.task
    facts = task.trigger.data
    surprise = wording.surprise(facts.surprise) if facts.surprise is not None else ""
    link = task_url(inbox_url, task) if inbox_url else ""
    parts = (wording.customer(task, said), facts.customer.phone, wording.window(task, said), surprise, link)
    return "- " + " · ".join(part for part in parts if part)
