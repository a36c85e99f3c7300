"""`migrate` tells in one line what it found, and `--from` what it cannot move, before it touches anything."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from services.cli import DONE, FAILED, run
from services.foundations import DATABASE_NAME

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


def test_an_older_program_says_that_the_schema_is_newer_and_leaves_it_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NOWHERE:
        monkeypatch.delenv(name, raising=False)
    assert run(["migrate", "--data", str(tmp_path)]) == DONE
    assert capsys.readouterr().out == "the database's schema is this program's\n"
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as store, store:
        store.execute("UPDATE alembic_version SET version_num = '9999'")
    assert run(["migrate", "--data", str(tmp_path)]) == DONE
    told = capsys.readouterr()
    assert told.out.startswith("the database's schema (9999) is newer than this program's (0001)")
    assert len(told.out.splitlines()) == 1
    assert told.err == ""
