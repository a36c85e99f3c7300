"""`users add/list/remove/passwd`: who may sign in to the inbox."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from services.commands.surroundings import ConfigOption, DataOption

if TYPE_CHECKING:
    from services.notifier.web.users import User, Users
    from shared.config import Config
    from shared.database import Database

app = typer.Typer(help="Who may sign in to the inbox: add, list, remove, passwd.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A name, or the e-mail address for OIDC.")]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="Take the password from standard input, its first line.")
]


@app.command("add")
def add(
    name: NameArgument,
    role: Annotated[
        str,
        typer.Option(help="csm (acts on own calls and nobody's), lead (on all), admin (operation as well)."),
    ] = "csm",
    csm: Annotated[
        str | None, typer.Option("--csm", metavar="ID", help="The CSM of the configuration that this is.")
    ] = None,
    oidc: Annotated[bool, typer.Option("--oidc", help="No password: signs in by OIDC alone.")] = False,
    password_stdin: StdinOption = False,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Let somebody in.

    Asks for a password, twice. A CSM of the configuration who signs in by OIDC need not be added.
    """
    from services.commands.store import with_database
    from services.commands.surroundings import read_config, read_settings
    from services.notifier.web.users import user_name

    settings = read_settings(config_path=config, data_dir=data)
    its_csm = _csm(read_config(settings.config_path), user_name(name), role, csm)
    password = None if oidc else _password(password_stdin)
    added = with_database(
        settings,
        lambda database: _users(database).add(name, role=role, csm=its_csm, password=password),
    )
    print(_line(added))


@app.command("list")
def list_users(data: DataOption = None) -> None:
    """List who may sign in."""
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings

    for user in with_database(read_settings(data_dir=data), lambda database: _users(database).list()):
        print(_line(user))


@app.command("remove")
def remove(name: NameArgument, data: DataOption = None) -> None:
    """Let somebody in no longer.

    Whoever is signed in under this name is signed out at once.
    """
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings

    with_database(read_settings(data_dir=data), lambda database: _users(database).remove(name))


@app.command("passwd")
def passwd(name: NameArgument, password_stdin: StdinOption = False, data: DataOption = None) -> None:
    """Give somebody a new password.

    Whoever is signed in under this name is signed out at once.
    """
    from services.commands.store import with_database
    from services.commands.surroundings import read_settings

    password = _password(password_stdin)
    with_database(
        read_settings(data_dir=data), lambda database: _users(database).set_password(name, password)
    )


def _users(database: "Database") -> "Users":
    from services.notifier.web.users import Users
    from shared.clock import SystemClock

    return Users(database, SystemClock())


def _csm(config: "Config", name: str, role: str, csm: str | None) -> str | None:
    """The CSM that a user is: the one named, else the one with this address. Raises ConfigError."""
    from services.notifier.web.users import csm_by_email
    from shared.errors import ConfigError

    found = csm or csm_by_email(name, config.csms)
    if not config.csms:
        return found or (name if role == "csm" else None)
    known = ", ".join(config.csms)
    if found is not None and found not in config.csms:
        raise ConfigError(f"the configuration has no CSM {found!r}; it has {known}")
    if found is None and role == "csm":
        raise ConfigError(f"say which CSM this is with --csm; the configuration has {known}")
    return found


def _password(from_stdin: bool) -> str:
    """As typed twice at the terminal, or the first line of standard input."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    given: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return given


def _line(user: "User") -> str:
    told = [user.name, user.role, user.csm or "-", "password" if user.has_password else "OIDC"]
    return "  ".join(told)
