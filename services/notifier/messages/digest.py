"""Makes one Slack message of many announcements: a line each, by CSM, linked to the inbox."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from slack_sdk.models.blocks import Block, DividerBlock, HeaderBlock, PlainTextObject

from services.notifier.messages import status, wording
from services.notifier.messages.render import (
    SECTION_CHARS_MAX,
    Setting,
    SlackMessage,
    cut,
    dialled,
    escape,
    made_of,
    mention,
    section,
    task_url,
    titled,
    unverified,
)
from services.notifier.tasks.announce import Kind
from services.notifier.tasks.lifecycle import Task
from shared.triggers import RESUMED, Trigger

NAME_CHARS_MAX = 80
SECTIONS_MAX = 45
"""Of the 50 blocks that a message may have."""

Entry = tuple[Kind, Task, Trigger, str | None]
"""An announcement: its kind, its task, the trigger announced, and the id of the CSM it is meant for."""


def slack_digest(entries: Sequence[Entry], setting: Setting) -> SlackMessage:
    """Every announcement in one line, the calls of each CSM together; what has no room is counted."""
    words = setting.words
    title = words.count("%(n)s call", "%(n)s messages about calls", len(entries))
    if all(kind == "digest" for kind, _, _, _ in entries):
        title = words.count(
            "%(n)s more call than today has room for",
            "%(n)s more calls than today has room for",
            len(entries),
        )
    ordered = sorted(entries, key=lambda entry: entry[3] or "")
    blocks: list[Block] = [HeaderBlock(text=PlainTextObject(text=title, emoji=False))]
    left = len(entries)
    for csm, theirs in groupby(ordered, key=lambda entry: entry[3]):
        for lines in _packed(_lines(theirs, setting), mention(csm, setting.csms).strip()):
            if len(blocks) < SECTIONS_MAX:
                blocks.append(section("\n".join(lines)))
                left -= sum(line.startswith("• ") for line in lines)
    if any(wording.is_unverified(task) for _, task, _, _ in entries):
        blocks.append(section(unverified(words)))
    if left:
        rest = words.count("and %(n)s more in the inbox", "and %(n)s more in the inbox", left)
        blocks += [DividerBlock(), section(_linked(rest, setting.inbox_url))]
    names = words.say(", ").join(wording.customer(task, words) for _, task, _, _ in entries)
    return made_of(f"{title}: {names}", blocks)


def _packed(lines: Iterable[str], first: str) -> Iterator[list[str]]:
    """Lines in portions that one section holds."""
    portion, length = [first] if first else [], len(first)
    for line in lines:
        if portion and length + len(line) + 1 > SECTION_CHARS_MAX:
            yield portion
            portion, length = [], 0
        portion.append(line)
        length += len(line) + 1
    yield portion


def _lines(entries: Iterable[Entry], setting: Setting) -> Iterator[str]:
    for kind, task, trigger, _ in entries:
        yield f"• {_line(kind, task, trigger, setting)}"


def _line(kind: Kind, task: Task, trigger: Trigger, setting: Setting) -> str:
    words = setting.words
    name = cut(wording.customer(task, words), NAME_CHARS_MAX)
    link = _linked(escape(name), task_url(setting.inbox_url, task) if setting.inbox_url else None)
    if kind == "closed":
        return escape(status.no_call(task, words, is_back=trigger.type == RESUMED))
    said = status.said(task, words, setting.csms)
    if said:
        return f"~{link}~ · {escape(said)}"
    phone = task.trigger.data.customer.phone
    mark = ":warning:" if wording.is_unverified(task) or task.plan.problems else ""
    parts = [
        f"{mark} {link}".strip(),
        f"<tel:{dialled(phone)}|{escape(phone)}>" if phone else "",
        escape(titled(kind, task, words)),
    ]
    return " · ".join(part for part in parts if part)


def _linked(text: str, url: str | None) -> str:
    return f"<{url}|{text}>" if url else text
