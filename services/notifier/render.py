"""Makes a Slack message of a task: Block Kit within Slack's limits, names escaped."""

from collections.abc import Iterable
from typing import Any

import msgspec
from slack_sdk.models.blocks import (
    ActionsBlock,
    Block,
    ButtonElement,
    ContextBlock,
    HeaderBlock,
    MarkdownTextObject,
    PlainTextObject,
    SectionBlock,
)

from services.notifier import wording
from services.notifier.tasks import Announced, Task
from services.notifier.words import Words
from shared.config import CsmSection
from shared.triggers import RESUMED, Trigger

HEADER_CHARS_MAX = 150
SECTION_CHARS_MAX = 3000
FIELD_CHARS_MAX = 2000
FIELDS_MAX = 10
TEXT_CHARS_MAX = 3000


class SlackMessage(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is what notifications and screen readers show; `blocks` what is seen."""

    text: str
    blocks: tuple[dict[str, Any], ...]


def slack_message(
    kind: Announced,
    task: Task,
    trigger: Trigger,
    *,
    words: Words,
    owner: CsmSection | None,
    inbox_url: str | None = None,
) -> SlackMessage:
    """What people read of an announcement; `trigger` is the one announced, which may close the task."""
    if kind == "closed":
        return _closing(task, trigger, words)
    title = _title(kind, task, words)
    name = wording.customer(task, words)
    blocks: list[Block] = [
        HeaderBlock(text=PlainTextObject(text=_cut(title, HEADER_CHARS_MAX), emoji=False)),
        _section(f"*{escape(name)}*{_who(owner)}\n{_phone(task, words)}"),
        SectionBlock(fields=_fields(task, words)),
        *_reasons(task, words),
        *_warnings(kind, task, words),
        *_buttons(task, words, inbox_url),
    ]
    return _message(f"{title}: {name}", blocks)


def _title(kind: Announced, task: Task, words: Words) -> str:
    title = wording.headline(task, words)
    match kind:
        case "again":
            return words.say("Still: %(title)s", title=title)
        case "escalated":
            return words.say("Nobody has taken it: %(title)s", title=title)
        case "woken":
            return words.say("Reminder: %(title)s", title=title)
        case _:
            return title


def _closing(task: Task, trigger: Trigger, words: Words) -> SlackMessage:
    name = wording.customer(task, words)
    if trigger.type == RESUMED:
        said = words.say("%(name)s is using it again. No call is needed.", name=name)
    else:
        said = words.say("%(name)s: the stop was taken back by a late event. No call is needed.", name=name)
    return _message(said, [_section(escape(said))])


def _who(owner: CsmSection | None) -> str:
    return f"  <@{escape(owner.slack)}>" if owner is not None and owner.slack else ""


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
        MarkdownTextObject(text=_cut(f"*{escape(line.label)}*\n{escape(line.text)}", FIELD_CHARS_MAX))
        for line in lines
    ]


def _reasons(task: Task, words: Words) -> list[Block]:
    said = wording.reasons(task.trigger, words)
    if not said:
        return []
    text = "\n".join(f"• {escape(reason)}" for reason in said)
    return [ContextBlock(elements=[MarkdownTextObject(text=_cut(text, FIELD_CHARS_MAX))])]


def _warnings(kind: Announced, task: Task, words: Words) -> list[Block]:
    said = list(wording.problems(task, words))
    if kind == "unverified" or task.unverified:
        said.insert(0, words.say("Unverified: many customers stopped at once; the product may be the cause."))
    return [_section("\n".join(f":warning: {escape(text)}" for text in said))] if said else []


def _buttons(task: Task, words: Words, inbox_url: str | None) -> list[Block]:
    if not inbox_url:
        return []
    url = f"{inbox_url.rstrip('/')}/tasks/{task.id}"
    button = ButtonElement(text=words.say("Open in the inbox"), url=url, action_id="open")
    return [ActionsBlock(elements=[button])]


def _section(text: str) -> SectionBlock:
    return SectionBlock(text=MarkdownTextObject(text=_cut(text, SECTION_CHARS_MAX)))


def _message(text: str, blocks: Iterable[Block]) -> SlackMessage:
    return SlackMessage(
        text=_cut(escape(text), TEXT_CHARS_MAX), blocks=tuple(block.to_dict() for block in blocks)
    )


def escape(text: str) -> str:
    """Slack's three: nothing in a name becomes a link, a mention or `@channel`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str, chars_max: int) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
