"""Makes one mail of the calls beyond a CSM's day: a line each, with a link into the inbox."""

from collections.abc import Sequence
from email.message import EmailMessage

from services.notifier.messages import wording
from services.notifier.messages.letter import Letter
from services.notifier.messages.mail import MailSetting, addressed
from services.notifier.messages.render import task_url
from services.notifier.messages.words import Words


def digest_of(
    letters: Sequence[Letter], setting: MailSetting, to: Sequence[str], now_us: int
) -> EmailMessage:
    """The mail; it is addressed as that of the first delivery in it."""
    said = setting.words_for(letters)
    subject = said.count(
        "%(n)s more call than today has room for", "%(n)s more calls than today has room for", len(letters)
    )
    mail = addressed(letters[0], setting, to, now_us, subject=subject)
    lines = [_line(letter, said, setting.inbox_url) for letter in letters]
    mail.set_content("\n".join([subject, "", *lines]) + "\n")
    return mail


def _line(letter: Letter, said: Words, inbox_url: str | None) -> str:
    task = letter.task
    facts = task.trigger.data
    surprise = wording.surprise(facts.surprise) if facts.surprise is not None else ""
    link = task_url(inbox_url, task) if inbox_url else ""
    parts = (wording.customer(task, said), facts.customer.phone, wording.window(task, said), surprise, link)
    return "- " + " · ".join(part for part in parts if part)
