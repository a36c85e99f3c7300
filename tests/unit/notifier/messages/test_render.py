"""The Slack message: what it says, and Slack's limits."""

import json
from typing import Any

import pytest

from services.notifier.messages.render import Setting, SlackMessage, dialled, escape, slack_message
from services.notifier.messages.words import words
from services.notifier.tasks.lifecycle import Announced
from shared.config import CsmSection
from shared.triggers import Reason, Trigger
from tests.unit.notifier.cases import resumption, retraction, stop, task

SATO = CsmSection(name="佐藤", slack="U024BE7LH", language="ja")
JA, EN = words("ja"), words("en")
REASONS = (
    Reason(code="weekday_record", values={"weekday": 0, "active": 25, "weeks": 26}),
    Reason(code="open_day_record", values={"missed": 2, "days": 150}),
    Reason(code="moon_phase", values={"phase": "full"}),
    Reason(code="silent_before", values={}),
)


def message(
    trigger: Trigger | None = None, kind: Announced = "opened", language: str = "ja", **values: Any
) -> SlackMessage:
    about = task(trigger or stop(phone="03-1234-5678", contact_window="14:00-17:00", reasons=REASONS))
    return slack_message(
        kind,
        about,
        values.pop("announced", about.trigger),
        Setting(
            words=words(language),
            csms={"csm-1": SATO},
            inbox_url=values.pop("inbox_url", "https://calls.example"),
            has_buttons=values.pop("has_buttons", False),
        ),
        addressee="csm-1",
    )


def everything(sent: SlackMessage) -> str:
    return json.dumps(sent.blocks, ensure_ascii=False)


def test_it_says_who_what_since_when_and_why() -> None:
    said = everything(message())
    for part in ("利用が止まりました", "割烹 さくら 様", "<@U024BE7LH>", "<tel:0312345678|03-1234-5678>"):
        assert part in said
    assert "3月2日(月)、14:00まで(Asia/Tokyo)" in said
    assert "3月1日(日)" in said
    assert "1月20日(火)から利用41日" in said
    assert "97 %" in said
    assert "直近26回の月曜日のうち25回利用" in said


def test_a_reason_that_is_unknown_or_broken_is_left_out() -> None:
    said = everything(message())
    assert "moon_phase" not in said
    assert said.count("• ") == 2


def test_the_same_in_english() -> None:
    said = everything(message(language="en"))
    assert "Usage stopped" in said
    assert "Used on 25 of the last 26 Mondays" in said
    assert "41 active days since Tue 20 Jan" in said


def test_names_cannot_mention_link_or_address_everybody() -> None:
    said = everything(message(stop(name="<!channel> & <https://evil.example|click>")))
    assert "<!channel>" not in said
    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|click&gt;" in said
    assert escape("a<b>&c") == "a&lt;b&gt;&amp;c"


@pytest.mark.parametrize("name", ["あ" * 300, "&" * 300, "株" * 5000, "\n\n*_~`\u202e" * 60])
def test_a_name_of_any_length_stays_within_slacks_limits(name: str) -> None:
    sent = message(stop(name=name, phone="0" * 300, contact_window="14:00-17:00", reasons=REASONS * 20))
    assert len(sent.blocks) <= 50
    assert 0 < len(sent.text) <= 3000
    for block in sent.blocks:
        match block["type"]:
            case "header":
                assert len(block["text"]["text"]) <= 150
            case "section":
                assert len(block.get("text", {}).get("text", "")) <= 3000
                assert len(block.get("fields", ())) <= 10
                assert all(len(field["text"]) <= 2000 for field in block.get("fields", ()))
            case "context":
                assert len(block["elements"]) <= 10
            case "actions":
                assert all(len(e["text"]["text"]) <= 75 for e in block["elements"])


def test_a_300_character_name_is_shown_whole() -> None:
    assert "あ" * 300 in everything(message(stop(name="あ" * 300)))


def test_an_end_is_one_quiet_line() -> None:
    for announced, part in ((resumption(stop()), "利用が再開"), (retraction(stop()), "取り消し")):
        sent = message(kind="closed", announced=announced)
        assert part in sent.text
        assert len(sent.blocks) == 1


@pytest.mark.parametrize(
    ("kind", "part"), [("again", "【継続】"), ("escalated", "【未対応】"), ("woken", "【再通知】")]
)
def test_a_nudge_says_that_it_is_one(kind: Announced, part: str) -> None:
    assert part in message(kind=kind).text


def test_a_link_to_the_inbox_only_where_its_address_is_known() -> None:
    assert f"https://calls.example/tasks/{stop().id}" in everything(message())
    assert "actions" not in everything(message(inbox_url=None))


def test_a_customer_without_a_name_or_phone_is_called_by_its_id() -> None:
    sent = message(stop(name=None))
    assert sent.text == "利用が止まりました: c-17"
    assert "電話番号の登録なし" in everything(sent)


def test_a_phone_number_is_dialled_without_its_ornaments() -> None:
    assert dialled("+81 (0)3-1234-5678 ext") == "+810312345678"
