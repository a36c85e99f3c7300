"""One Slack message of many calls: what it says of each, and Slack's limits."""

import json

import msgspec
import pytest

from services.notifier.messages.digest import Entry, slack_digest
from services.notifier.messages.render import Setting, SlackMessage
from services.notifier.messages.words import words
from services.notifier.tasks.lifecycle import finish
from services.notifier.tasks.turns import resumed
from shared.config import CsmSection
from tests.unit.notifier.cases import NOON, resumption, stop, task

SETTING = Setting(
    words=words("ja"),
    csms={
        "csm-1": CsmSection(name="佐藤", slack="U1", language="ja"),
        "csm-2": CsmSection(name="Ito", slack="U2"),
    },
    inbox_url="https://calls.example",
)


def entry(customer_id: str, csm: str | None = "csm-1", **facts: str) -> Entry:
    about = task(stop(customer_id, phone="03-1234-5678", **facts))
    return "opened", about, about.trigger, csm


def everything(sent: SlackMessage) -> str:
    return json.dumps(sent.blocks, ensure_ascii=False)


def test_every_call_is_a_line_with_a_link_and_a_number_to_dial() -> None:
    sent = slack_digest([entry("c-1", name="割烹 さくら"), entry("c-2", name="鮨 まつ")], SETTING)
    link = f"• <https://calls.example/tasks/{stop('c-1').id}|割烹 さくら 様> · <tel:0312345678|03-1234-5678>"
    assert link in everything(sent)
    assert sent.text == "お電話のご案内 2件: 割烹 さくら 様、鮨 まつ 様"


def test_the_calls_of_each_csm_stand_together_under_the_csms_name() -> None:
    sent = slack_digest(
        [entry("c-1", "csm-2"), entry("c-2"), entry("c-3", "csm-2"), entry("c-4", None)], SETTING
    )
    texts = [block["text"]["text"].split("\n") for block in sent.blocks[1:]]
    assert [(lines[0][:5], len(lines)) for lines in texts] == [("• <ht", 1), ("<@U1>", 2), ("<@U2>", 3)]


def test_what_is_done_or_over_is_struck_out_with_its_reason() -> None:
    kind, about, trigger, csm = entry("c-1", name="あ")
    done = finish(about, "csm-2", "reached", "", NOON).task
    back = resumed(about, resumption(trigger), NOON).task
    sent = slack_digest([(kind, done, trigger, csm), (kind, back, trigger, csm)], SETTING)
    assert "|あ 様>~ · Itoさん: " in everything(sent)
    assert "|あ 様>~ · あ 様の利用が再開しました。" in everything(sent)


def test_ends_told_where_nothing_can_be_changed_say_who_is_back() -> None:
    _, about, trigger, csm = entry("c-1", name="<!channel>")
    sent = slack_digest([("closed", about, resumption(trigger), csm)] * 4, SETTING)
    assert everything(sent).count("• &lt;!channel&gt; 様の利用が再開しました。") == 4


def test_unverified_calls_are_marked_and_the_reason_is_said_once() -> None:
    _, about, trigger, csm = entry("c-1")
    unsure = msgspec.structs.replace(about, unverified=True)
    sent = slack_digest([("opened", unsure, trigger, csm)] * 5, SETTING)
    assert everything(sent).count("• :warning: ") == 5
    assert everything(sent).count("未確認") == 1


@pytest.mark.parametrize("name", ["あ" * 300, "&" * 300, "株" * 5000, "\n*_~`" * 60])
def test_a_digest_of_any_names_stays_within_slacks_limits_and_loses_nobody(name: str) -> None:
    entries = [entry(f"c-{n}", ("csm-1", "csm-2", None)[n % 3], name=name) for n in range(250)]
    sent = slack_digest(entries, SETTING)
    assert len(sent.blocks) <= 50
    assert len(sent.text) <= 3000
    texts = [block["text"]["text"] for block in sent.blocks if block["type"] == "section"]
    assert all(len(text) <= 3000 for text in texts)
    listed = everything(sent).count("• ")
    assert listed == 250 or f"ほか{250 - listed}件は受信箱にあります" in everything(sent)
    assert not any(text.endswith("…") for text in texts)


def test_without_an_inbox_there_are_names_and_no_links() -> None:
    sent = slack_digest([entry("c-1")] * 4, msgspec.structs.replace(SETTING, inbox_url=None))
    assert "https://" not in everything(sent)
