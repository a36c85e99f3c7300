"""Understands what Slack sends when a button is clicked: who clicked what, and what follows from it."""

from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

import msgspec

from services.notifier.messages.render import CALLED, NO_ANSWER, NOT_NEEDED, SNOOZE
from services.notifier.tasks.lifecycle import Outcome, Step, Task, finish, snooze
from shared.config import CsmSection
from shared.errors import Forbidden, NotParseable

SNOOZE_US = 3_600_000_000

_OUTCOMES: Mapping[str, Outcome] = {
    CALLED: "reached",
    NO_ANSWER: "no_answer",
    NOT_NEEDED: "legitimate_absence",
}


class _Id(msgspec.Struct, frozen=True):
    id: str = ""


class _Action(msgspec.Struct, frozen=True):
    action_id: str = ""
    value: str = ""
    action_ts: str = ""


class _Payload(msgspec.Struct, frozen=True):
    type: str = ""
    user: _Id = _Id()
    channel: _Id = _Id()
    actions: tuple[_Action, ...] = ()


class Click(msgspec.Struct, frozen=True, kw_only=True):
    """A button clicked by a Slack user in a channel; `at_us` is Slack's reading, the same if repeated."""

    user: str
    channel: str
    action: str
    task_id: str
    at_us: int


def clicks_in(body: bytes) -> tuple[Click, ...]:
    """The clicks on our buttons in a form that Slack sent. Raises NotParseable."""
    try:
        (text,) = parse_qs(body.decode(), max_num_fields=10).get("payload") or [""]
        payload = msgspec.json.decode(text, type=_Payload)
        return tuple(
            Click(
                user=payload.user.id,
                channel=payload.channel.id,
                action=action.action_id,
                task_id=action.value,
                at_us=int(float(action.action_ts) * 1_000_000),
            )
            for action in payload.actions
            if payload.type == "block_actions" and action.action_id in (*_OUTCOMES, SNOOZE)
        )
    except (ValueError, OverflowError, msgspec.DecodeError) as error:
        raise NotParseable("the body is no interaction of Slack's") from error


def csm_of(click: Click, csms: Mapping[str, CsmSection]) -> str:
    """The id of the CSM who clicked. Raises Forbidden: a signature proves Slack, not the person's right."""
    for csm_id, csm in csms.items():
        if csm.slack is not None and csm.slack == click.user:
            return csm_id
    raise Forbidden(f"no CSM has `slack: {click.user}` in the configuration", code="unknown_csm")


def decision(click: Click, actor: str) -> Callable[[Task, int], Step]:
    """What a click does to its task. The same click again changes nothing."""
    if click.action == SNOOZE:
        return lambda task, now_us: snooze(task, actor, click.at_us + SNOOZE_US, "", now_us)
    return lambda task, now_us: finish(task, actor, _OUTCOMES[click.action], "", now_us)
