"""Makes a mail of a letter: text and HTML, in the language of whoever is meant; a resend is the same mail."""

from collections.abc import Mapping, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from functools import cache
from importlib.resources import files

import msgspec
from jinja2 import Environment, StrictUndefined, Template

from services.notifier.messages import status, wording
from services.notifier.messages.letter import Letter
from services.notifier.messages.render import dialled, task_url, titled
from services.notifier.messages.telling import addressee, language_of
from services.notifier.messages.words import Words, words
from shared.clock import from_us
from shared.config import CsmSection, EmailChannel
from shared.triggers import RESUMED


class MailSetting(msgspec.Struct, frozen=True, kw_only=True):
    """Through which channel a mail goes, whom it may be for, and where its links lead."""

    section: EmailChannel
    csms: Mapping[str, CsmSection] = {}
    inbox_url: str | None = None

    def words_for(self, letters: Sequence[Letter]) -> Words:
        """In the language of whoever is meant."""
        return words(language_of(letters, self.csms, self.section.language))

    @property
    def domain(self) -> str:
        """Of the sender's address; every Message-ID ends with it."""
        return parseaddr(self.section.sender)[1].rpartition("@")[2]


def recipients_of(letter: Letter, setting: MailSetting) -> tuple[str, ...]:
    """Whoever is meant, if known by mail; else those who get what nobody owns. May be empty."""
    csm = setting.csms.get(addressee(letter) or "")
    return (csm.email,) if csm is not None and csm.email else setting.section.to


def mail_of(letter: Letter, setting: MailSetting, to: Sequence[str], now_us: int) -> EmailMessage:
    """The mail of one letter; all mails of a task refer to the first, so that they stand together."""
    said, delivery = setting.words_for([letter]), letter.delivery
    mail = addressed(letter, setting, to, now_us, subject=_subject(letter, said))
    if delivery.kind != "opened":
        first = f"<{letter.task.id}.{delivery.channel}@{setting.domain}>"
        mail["In-Reply-To"] = first
        mail["References"] = first
    mail.set_content("\n".join(_lines(letter, said, setting.inbox_url)) + "\n")
    mail.add_alternative(_html(letter, said, setting.inbox_url), subtype="html")
    return mail


def addressed(
    letter: Letter, setting: MailSetting, to: Sequence[str], now_us: int, *, subject: str
) -> EmailMessage:
    """A mail without its text. Its Message-ID is the delivery's, so that one sent twice is shown once."""
    mail = EmailMessage()
    mail["From"] = setting.section.sender
    mail["To"] = [_address(address) for address in to]
    mail["Subject"] = " ".join(subject.split())
    mail["Date"] = format_datetime(from_us(now_us))
    mail["Message-ID"] = f"<{letter.delivery.id}@{setting.domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    return mail


def _address(text: str) -> Address:
    name, address = parseaddr(text)
    return Address(display_name=name, addr_spec=address)


def _subject(letter: Letter, said: Words) -> str:
    if letter.delivery.kind == "closed":
        return _end(letter, said)
    return f"{titled(letter.delivery.kind, letter.task, said)}: {wording.customer(letter.task, said)}"


def _end(letter: Letter, said: Words) -> str:
    return status.no_call(letter.task, said, is_back=letter.trigger.type == RESUMED)


def _warnings(letter: Letter, said: Words) -> list[str]:
    found = list(wording.problems(letter.task, said))
    if wording.is_unverified(letter.task):
        found.insert(0, wording.unverified(said))
    return found


def _lines(letter: Letter, said: Words, inbox_url: str | None) -> list[str]:
    """The mail as plain text."""
    task = letter.task
    link = ["", task_url(inbox_url, task)] if inbox_url else []
    if letter.delivery.kind == "closed":
        return [_end(letter, said), *link]
    facts = task.trigger.data.customer
    contact = [text for text in (facts.phone, wording.window(task, said)) if text]
    return [
        _subject(letter, said),
        *contact,
        "",
        *(f"{line.label}: {line.text}" for line in wording.evidence(task, said)),
        *(f"- {reason}" for reason in wording.reasons(task.trigger, said)),
        *(f"! {warning}" for warning in _warnings(letter, said)),
        *link,
    ]


@cache
def _template() -> Template:
    text = (files("services.notifier.messages") / "mail.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(text)


def _html(letter: Letter, said: Words, inbox_url: str | None) -> str:
    task, is_end = letter.task, letter.delivery.kind == "closed"
    phone = task.trigger.data.customer.phone or ""
    return _template().render(
        language=said.language,
        said=said,
        title=_end(letter, said) if is_end else titled(letter.delivery.kind, task, said),
        name="" if is_end else wording.customer(task, said),
        phone="" if is_end else phone,
        dialled=dialled(phone),
        window="" if is_end else wording.window(task, said),
        evidence=() if is_end else wording.evidence(task, said),
        reasons=() if is_end else wording.reasons(task.trigger, said),
        warnings=() if is_end else _warnings(letter, said),
        url=task_url(inbox_url, task) if inbox_url else "",
    )
