"""`migrate --from` refuses in one line what it cannot move, before it touches anything."""

from pathlib import Path

import pytest

from services.cli import FAILED, run

NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none", "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS are not set"),
        (NOWHERE, "there is no usage-triggers.sqlite3"),
    ],
    ids=["no target", "no source"],
)
def test_what_cannot_be_moved_is_refused_in_one_line(
    environment: dict[str, str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in NOWHERE:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(["migrate", "--from", str(tmp_path)]) == FAILED
    told = capsys.readouterr()
    assert said in told.err
    assert len(told.err.splitlines()) == 1
    assert told.out == ""
    assert list(tmp_path.iterdir()) == []
