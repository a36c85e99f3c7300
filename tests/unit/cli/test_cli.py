"""Every command is there, explains itself, and fails with one line and the right status."""

import json
import sqlite3
from pathlib import Path

import pytest

from services.cli import run
from services.foundations import DATABASE_NAME
from tests.e2e import running

COMMANDS = (
    *(
        "serve",
        "ingest",
        "evaluator",
        "notifier",
        "demo",
        "backtest",
        "discover",
        "import",
        "import-customers",
        "migrate",
    ),
    *("config check", "config schema", "keys create", "keys list", "keys rotate", "keys revoke"),
    *("dead-letters list", "dead-letters replay", "deliveries list", "deliveries replay"),
    *("deliveries channels", "deliveries enable"),
    *("guard list", "guard release"),
    *("users add", "users list", "users remove", "users passwd"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command.split(), "--help"]) == 0
    assert f"usage-triggers {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["srve"],
            "usage-triggers: No such command 'srve'. Did you mean 'serve'? (see `usage-triggers --help`)",
        ),
        (["keys", "list", "--dat", "x"], "usage-triggers: No such option: --dat"),
        (["keys", "revoke"], "usage-triggers: Missing argument 'PREFIX'"),
    ],
)
def test_wrong_use_is_one_line_and_status_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


def test_a_key_is_printed_alone_listed_by_its_prefix_and_revoked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--data", str(tmp_path)]
    assert run(["keys", "create", "--name", "till", *here]) == 0
    key = capsys.readouterr().out.strip()
    prefix = key[:11]
    assert run(["keys", "list", *here]) == 0
    listed = capsys.readouterr().out
    assert prefix in listed
    assert key not in listed
    assert "never used" in listed
    assert run(["keys", "revoke", prefix, *here]) == 0
    assert "revoked" in capsys.readouterr().out
    assert run(["keys", "revoke", "ut_nobody", *here]) == 1
    assert "no key has the prefix" in capsys.readouterr().err


def test_a_key_is_rotated_with_its_bound_and_the_old_one_ends_later(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--data", str(tmp_path)]
    assert run(["keys", "create", "--events-per-second", "500", *here]) == 0
    prefix = capsys.readouterr().out[:11]
    assert run(["keys", "rotate", prefix, "--overlap-hours", "1", *here]) == 0
    heir = capsys.readouterr().out[:11]
    assert run(["keys", "list", *here]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line[:11] for line in lines} == {prefix, heir}
    assert all("500 events/s at the most" in line for line in lines)
    assert ["revoked" in line for line in sorted(lines, key=lambda line: line[:11] == heir)] == [True, False]


def test_a_scope_that_does_not_exist_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["keys", "create", "--scope", "everything", "--data", str(tmp_path)]) == 1
    assert "scopes are one or more of ingest customers read admin" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["deliveries list", "dead-letters list", "guard list", "migrate"])
def test_a_new_store_has_nothing_to_list(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command.split(), "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""


def test_the_schema_is_json_schema_and_names_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "schema"]) == 0
    assert set(json.loads(capsys.readouterr().out)["properties"]) == {
        "products",
        "channels",
        "csms",
        "retention",
    }


def test_config_check_tells_every_error_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("productz: {}\nchannelz: {}\n", encoding="utf-8")
    assert run(["config", "check", str(path)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"{path}:1: productz: unknown key; did you mean 'products'?",
        f"{path}:2: channelz: unknown key; did you mean 'channels'?",
    ]
    path.write_text("products: {shop: {}}\n", encoding="utf-8")
    assert run(["config", "check", str(path)]) == 0
    assert "fine; products: shop (0 rules)" in capsys.readouterr().out


def test_config_check_without_a_file_says_how_to_name_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["config", "check"]) == 1
    assert "say which file" in capsys.readouterr().err


def test_an_outage_is_listed_and_released(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = ["--data", str(tmp_path)]
    assert run(["migrate", *here]) == 0
    held = {
        "id": "shop/usage-stopped/2026-03-02T05:00:00Z",
        "product": "shop",
        "rule": "usage-stopped",
        "cutoff_us": 1,
        "day": "2026-03-02",
        "zone": "Asia/Tokyo",
        "state": "held",
        "stopped_count": 30,
        "cohort_count": 60,
        "opened_us": 1,
        "changed_us": 1,
        "wake_us": 2,
        "closed_by": "",
    }
    with sqlite3.connect(tmp_path / DATABASE_NAME) as connection:
        connection.execute(
            f"INSERT INTO outages ({', '.join(held)}) VALUES ({', '.join('?' * len(held))})", [*held.values()]
        )
    connection.close()
    capsys.readouterr()
    assert run(["guard", "list", *here]) == 0
    assert "held  30 of 60 customers" in capsys.readouterr().out
    assert run(["guard", "release", str(held["id"]), *here]) == 0
    assert "released" in capsys.readouterr().out
    assert run(["guard", "release", "nothing", *here]) == 1
    assert "no outage 'nothing'" in capsys.readouterr().err


def test_a_user_is_added_listed_given_a_new_password_and_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ["--data", str(tmp_path)]
    add = ["users", "add", "Hana@example.com", "--role", "lead", "--password-stdin", *here]
    added = running.run(*add, directory=tmp_path, stdin="correct horse battery\n")
    assert (added.returncode, added.stdout) == (0, "hana@example.com  lead  -  password\n")
    passwd = ["users", "passwd", "hana@example.com", "--password-stdin", *here]
    assert running.run(*passwd, directory=tmp_path, stdin="another long password\n").returncode == 0
    assert run(["users", "add", "sso@example.com", "--oidc", *here]) == 0
    capsys.readouterr()
    assert run(["users", "list", *here]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "hana@example.com  lead  -  password",
        "sso@example.com  csm  sso@example.com  OIDC",
    ]
    assert run(["users", "remove", "hana@example.com", *here]) == 0
    assert run(["users", "remove", "hana@example.com", *here]) == 1
    assert capsys.readouterr().err == (
        "usage-triggers: there is no user 'hana@example.com'; `usage-triggers users list` shows them\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--role", "boss", "--oidc"], "'boss' is no role; roles are csm, lead, admin"),
        (["--csm", "csm-9", "--oidc"], "the configuration has no CSM 'csm-9'; it has csm-1"),
        (["--oidc"], "say which CSM this is with --csm; the configuration has csm-1"),
        (["--role", "admin", "--password-stdin"], "a password has 10 to 1,000 characters"),
    ],
)
def test_a_user_who_cannot_be_is_refused_in_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    file = tmp_path / "usage-triggers.yaml"
    file.write_text("csms: {csm-1: {name: Sato}}\n")
    given = ["--config", str(file), "--data", str(tmp_path)]
    refused = running.run("users", "add", "sato", *arguments, *given, directory=tmp_path, stdin="short\n")
    assert (refused.returncode, refused.stderr) == (1, f"usage-triggers: {said}\n")
    assert run(["users", "list", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == ""
