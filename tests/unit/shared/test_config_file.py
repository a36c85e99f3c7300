"""Every error of a configuration file is told with its line and a hint."""

# ruff: noqa: E501 - a case is one line, so that what is written stands beside what is said

from collections.abc import Mapping
from datetime import time
from pathlib import Path

import pytest

from shared.config import Config, SlackChannel
from shared.config_file import load_config, parse_config
from shared.errors import ConfigError

GOOD = """
products:
  reserve:
    time_zone: Asia/Tokyo
    day_starts_at: "05:00"
    calendar: {closed_weekdays: [mon], holidays: JP}
    rules:
      onboarding: {kind: streak, days: 28, emit: onboarding.completed}
      usage-stopped: {kind: absence, cutoff: 14:00, emit: usage.stopped}
    playbooks:
      - on: usage.stopped
        send: [cs-slack]
channels:
  cs-slack: {kind: slack, url: "${SLACK_WEBHOOK_URL}"}
csms:
  "001": {name: "佐藤", time_zone: Asia/Tokyo}
"""
ENVIRON = {"SLACK_WEBHOOK_URL": "https://hooks.slack.com/services/T0/B0/secret"}


def read(text: str, environ: Mapping[str, str] = ENVIRON) -> Config:
    return parse_config(text, name="c.yaml", environ=environ)


def problems(text: str, environ: Mapping[str, str] = ENVIRON) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        read(text, environ)
    assert caught.value.problems
    assert caught.value.message.startswith(caught.value.problems[0])
    return caught.value.problems


def test_the_contract_s_own_example_is_read() -> None:
    config = read(GOOD)
    rule = config.products["reserve"].rules["usage-stopped"]
    assert rule.kind == "absence"
    assert rule.cutoff == time(14, 0)
    channel = config.channels["cs-slack"]
    assert isinstance(channel, SlackChannel)
    assert channel.url == ENVIRON["SLACK_WEBHOOK_URL"]


def test_words_that_older_yaml_takes_for_something_else_are_words() -> None:
    # YAML 1.1 reads `on` as true, 14:00 as 840, NO as false and 001 as the number 1.
    config = read(GOOD.replace("holidays: JP", "holidays: NO"))
    assert config.products["reserve"].playbooks[0].on == "usage.stopped"
    assert config.products["reserve"].calendar.holidays == "NO"
    assert list(config.csms) == ["001"]


def test_an_empty_file_is_an_empty_configuration() -> None:
    assert read("") == Config()


@pytest.mark.parametrize(
    ("written", "instead", "said"),
    [
        ("time_zone: Asia/Tokyo\n    day", "time_zonne: Asia/Tokyo\n    day", "c.yaml:4: products.reserve.time_zonne: unknown key; did you mean 'time_zone'?"),
        ("time_zone: Asia/Tokyo\n    day", "time_zone: Asia/Tokio\n    day", "c.yaml:4: products.reserve.time_zone: 'Asia/Tokio' is no IANA time zone, such as Asia/Tokyo or Europe/Berlin; did you mean 'Asia/Tokyo'?"),
        ('"05:00"', "5:00", 'c.yaml:5: products.reserve.day_starts_at: a local time is written "HH:MM" in quotes, from "00:00" to "23:59"; did you mean "05:00"?'),
        ("14:00", '"25:00"', 'c.yaml:9: products.reserve.rules.usage-stopped.cutoff: a local time is written "HH:MM" in quotes, from "00:00" to "23:59"'),
        ("kind: absence", "kind: absense", "c.yaml:9: products.reserve.rules.usage-stopped: kind 'absense' is not known; did you mean 'absence'?"),
        ("kind: absence, ", "", "c.yaml:9: products.reserve.rules.usage-stopped: 'kind' is missing; known here: absence, count, decline, streak"),
        ("days: 28, ", "", "c.yaml:8: products.reserve.rules.onboarding: 'days' is missing"),
        ("send: [cs-slack]", "send: [cs-slak]", "c.yaml:12: products.reserve.playbooks[0].send: no channel 'cs-slak'; did you mean 'cs-slack'?"),
        ("closed_weekdays: [mon]", "closed_weekdays: [monn, xyz]", "c.yaml:6: products.reserve.calendar.closed_weekdays: 'xyz' is no weekday; use mon tue wed thu fri sat sun"),
        ("products:", "productz:", "c.yaml:2: productz: unknown key; did you mean 'products'?"),
        ("  reserve:", "  reserve: {}\n  reserve:", "c.yaml:4: products.reserve: 'reserve' stands here twice (first on line 3)"),
        ("time_zone: Asia/Tokyo\n    day", "\ttime_zone: Asia/Tokyo\n    day", "c.yaml:4: not YAML: found character '\\t' that cannot start any token (indent with spaces, never with tabs)"),
    ],
)  # fmt: skip
def test_an_error_has_its_line_and_a_hint(written: str, instead: str, said: str) -> None:
    assert GOOD.count(written) >= 1
    assert said in problems(GOOD.replace(written, instead, 1))


def test_every_error_is_told_at_once_in_the_order_of_the_file() -> None:
    text = GOOD.replace("days: 28", "days: 0").replace("Asia/Tokyo", "Asia/Tokio").replace("mon]", "xyz]")
    assert [line.split(":")[1] for line in problems(text)] == ["4", "6", "8", "16"]


def test_a_variable_that_is_not_set_is_named() -> None:
    (said,) = problems(GOOD, {})
    assert said == "c.yaml:14: channels.cs-slack.url: the environment variable SLACK_WEBHOOK_URL is not set"


def test_a_dollar_sign_is_written_twice() -> None:
    config = read(GOOD.replace('"佐藤"', '"$$100 ${SLACK_WEBHOOK_URL}"'))
    assert config.csms["001"].name == f"$100 {ENVIRON['SLACK_WEBHOOK_URL']}"


def test_what_came_from_the_environment_is_never_shown() -> None:
    told = problems(GOOD.replace("kind: slack,", 'kind: "${SLACK_WEBHOOK_URL}",'))
    assert "secret" not in " ".join(told)


def test_an_anchor_inside_itself_is_refused_and_not_followed_for_ever() -> None:
    assert any("nested deeper" in line for line in problems("products: &a {b: *a}"))


def test_a_file_that_is_no_mapping_is_refused() -> None:
    assert problems("- 1\n- 2\n") == ("c.yaml:1: the file is a mapping with products, channels and csms",)


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*: No such file or directory"):
        load_config(tmp_path / "nowhere.yaml", {})
    (tmp_path / "latin.yaml").write_bytes(b"csms: {a: {name: \xe9}}")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        load_config(tmp_path / "latin.yaml", {})
