"""Makes a Slack message of a task: Block Kit within Slack's limits, names escaped."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    InteractiveElement,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from services.notifier.messages import status, wording
from services.notifier.messages.words import Words
from services.notifier.tasks.announce import Kind
from services.notifier.tasks.lifecycle import Task
from shared.config import CsmSection
from shared.triggers import RESUMED, Trigger

HEADER_CHARS_MAX = 150
SECTION_CHARS_MAX = 3000
FIELD_CHARS_MAX = 2000
FIELDS_MAX = 10
TEXT_CHARS_MAX = 3000


CALLED, NO_ANSWER, SNOOZE, NOT_NEEDED, OPEN = "called", "no_answer", "snooze", "not_needed", "open"
"""The buttons, as Slack names them when one is clicked."""


class SlackMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is what notifications and screen readers show; `blocks` what is seen."""

    text: str
    blocks: tuple[dict[str, Any], ...]


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """In whose words a message is written, and with what: links and buttons where there are any."""

    words: Words
    csms: Mapping[str, CsmSection] = {}
    inbox_url: str | None = None
    has_buttons: bool = False


def slack_message(
    kind: Kind, task: Task, trigger: Trigger, setting: Setting, *, addressee: str | None = None
) -> SlackMessage:
    """What people read of an announcement; `trigger` is the one announced, which may close the task.

    A task on which somebody has acted says so, and has no buttons once it is closed.
    """
    words = setting.words
    if kind == "closed":
        line = status.no_call(task, words, is_back=trigger.type == RESUMED)
        return made_of(line, [section(escape(line))])
    title = titled(kind, task, words)
    name = wording.customer(task, words)
    said = status.said(task, words, setting.csms)
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=cut(title, HEADER_CHARS_MAX), emoji=False)),
        section(f"*{escape(name)}*{mention(addressee, setting.csms)}\n{_phone(task, words)}"),
    ]
    if said:
        blocks.append(section(f":white_check_mark: *{escape(said)}*"))
    if task.is_live:
        blocks += [SectionBlock(fields=_fields(task, words)), *_reasons(task, words)]
        blocks += _warnings(task, words)
    return made_of(f"{title}: {name}", [*blocks, *_buttons(task, setting)])


def titled(kind: Kind, task: Task, words: Words) -> str:
    """The headline of an announcement."""
    title = wording.headline(task, words)
    match kind:
        case "again":
            return words.say("Still: %(title)s", title=title)
        case "escalated":
            return words.say("Nobody has taken it: %(title)s", title=title)
        case "woken":
            return words.say("Reminder: %(title)s", title=title)
        case "digest":
            return words.say("Beyond today's calls: %(title)s", title=title)
        case _:
            return title


def mention(csm_id: str | None, csms: Mapping[str, CsmSection]) -> str:
    """Calls a CSM's name in Slack; empty where it is unknown there."""
    csm = csms.get(csm_id or "")
    return f"  <@{escape(csm.slack)}>" if csm is not None and csm.slack else ""


def _phone(task: Task, words: Words) -> str:
    phone = task.trigger.data.customer.phone
    window = wording.window(task, words)
    parts = [f"<tel:{escape(dialled(phone))}|{escape(phone)}>" if phone else "", escape(window)]
    return " · ".join(part for part in parts if part) or words.say("No phone number")


def dialled(phone: str) -> str:
    """A phone number as a tel: link has it."""
    return "".join(c for c in phone if c.isascii() and (c.isdigit() or c in "+*#"))


def _fields(task: Task, words: Words) -> list[MarkdownTextObject | PlainTextObject | str]:
    lines = wording.evidence(task, words)[:FIELDS_MAX]
    return [
        MarkdownTextObject(text=cut(f"*{escape(line.label)}*\n{escape(line.text)}", FIELD_CHARS_MAX))
        for line in lines
    ]


def _reasons(task: Task, words: Words) -> list[Block]:
    said = wording.reasons(task.trigger, words)
    if not said:
        return []
    text = "\n".join(f"• {escape(reason)}" for reason in said)
    return [ContextBlock(elements=[MarkdownTextObject(text=cut(text, FIELD_CHARS_MAX))])]


def _warnings(task: Task, words: Words) -> list[Block]:
    lines = [f":warning: {escape(text)}" for text in wording.problems(task, words)]
    if wording.is_unverified(task):
        lines.insert(0, unverified(words))
    return [section("\n".join(lines))] if lines else []


def unverified(words: Words) -> str:
    """That a call went out although the product itself may be the cause."""
    return f":warning: {escape(wording.unverified(words))}"


def _buttons(task: Task, setting: Setting) -> list[Block]:
    buttons = _actions(task, setting.words) if setting.has_buttons and task.is_live else []
    if setting.inbox_url:
        url = task_url(setting.inbox_url, task)
        buttons.append(ButtonElement(text=setting.words.say("Open in the inbox"), url=url, action_id=OPEN))
    return [ActionsBlock(elements=buttons)] if buttons else []


def _actions(task: Task, words: Words) -> list[InteractiveElement]:
    named = (
        (CALLED, words.say("Called")),
        (NO_ANSWER, words.say("No answer")),
        (SNOOZE, words.say("Snooze")),
        (NOT_NEEDED, words.say("Not needed")),
    )
    return [
        ButtonElement(text=text, action_id=name, value=task.id, style="primary" if name == CALLED else None)
        for name, text in named
    ]


def task_url(inbox_url: str, task: Task) -> str:
    """Where the inbox shows a task."""
    return f"{inbox_url.rstrip('/')}/tasks/{task.id}"


def section(text: str) -> SectionBlock:
    """A paragraph in Slack's markup."""
    return SectionBlock(text=MarkdownTextObject(text=cut(text, SECTION_CHARS_MAX)))


def made_of(text: str, blocks: Iterable[Block]) -> SlackMessage:
    """A message of these blocks; `text` is not escaped yet."""
    return SlackMessage(
        text=cut(escape(text), TEXT_CHARS_MAX), blocks=tuple(block.to_dict() for block in blocks)
    )


def escape(text: str) -> str:
    """Slack's three: nothing in a name becomes a link, a mention or `@channel`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def cut(text: str, chars_max: int) -> str:
    """At most so many characters, with a mark where something is missing."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
