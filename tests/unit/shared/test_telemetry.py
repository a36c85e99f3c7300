"""Secrets stay out of the log, whatever they are called and wherever they stand."""

import io
import json
import logging

import pytest
import structlog

from shared.telemetry import HIDDEN, configure_logging, hide_secrets

KEY = "ut_3f9c2a71_" + "a" * 43


@pytest.mark.parametrize(
    "name", ["api_key", "password", "slack_token", "authorization", "database_url", "url"]
)
def test_a_value_that_is_called_a_secret_is_hidden(name: str) -> None:
    assert hide_secrets(None, "info", {"event": "x", name: "whatever"})[name] == HIDDEN


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"refused {KEY}", f"refused {HIDDEN}"),
        ("postgresql://app:hunter2@db/x is away", f"postgresql://{HIDDEN}@db/x is away"),
        ("https://hooks.slack.com/services/T0/B0/x said 500", f"https://{HIDDEN} said 500"),
        ("signed with whsec_c2VjcmV0", f"signed with {HIDDEN}"),
        ("14 customers settled", "14 customers settled"),
    ],
)
def test_a_value_that_looks_like_a_secret_is_hidden(text: str, left: str) -> None:
    assert hide_secrets(None, "info", {"event": text, "detail": text}) == {"event": left, "detail": left}


def test_away_from_a_terminal_a_line_is_json_and_libraries_speak_the_same() -> None:
    stream = io.StringIO()
    try:
        configure_logging("INFO", stream=stream)
        structlog.get_logger().info("settled", customers=14)
        logging.getLogger("aiokafka").warning("no broker at %s", f"postgresql://a:{KEY}@h")
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers = []
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (ours["event"], ours["customers"], ours["level"]) == ("settled", 14, "info")
    assert KEY not in theirs["event"]
    assert theirs["level"] == "warning"
