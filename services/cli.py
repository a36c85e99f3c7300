"""The command line `usage-triggers`: names the commands, and turns every error into one line and a status.

Exit status: 0 done, 1 failed, 2 wrong use. The commands stand in `services/commands/`; each imports
what it needs when it runs, so that `--help` and `config check` do not wait for a web framework.
"""

import os
import sys
from collections.abc import Sequence

import typer

from services.commands import (
    backtest,
    config,
    dead_letters,
    deliveries,
    demo,
    discover,
    distributed,
    guard,
    imports,
    keys,
    migrate,
    serve,
    users,
)
from shared.errors import UsageTriggersError

DONE, FAILED, WRONG_USE = 0, 1, 2
_INTERRUPTED = 130

app = typer.Typer(
    name="usage-triggers",
    help="Usage events in, a call task out on the very day a customer stops using the product.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("ingest")(distributed.ingest)
app.command("evaluator")(distributed.evaluator)
app.command("notifier")(distributed.notifier)
app.command("demo")(demo.demo)
app.command("backtest")(backtest.backtest)
app.command("discover")(discover.discover)
app.command("import")(imports.import_events)
app.command("import-customers")(imports.import_customers)
app.command("migrate")(migrate.migrate)
app.add_typer(config.app, name="config")
app.add_typer(keys.app, name="keys")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(guard.app, name="guard")
app.add_typer(users.app, name="users")


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point; ends the process with the exit status."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit status; errors go to standard error as one line each."""
    try:
        # Outside of Typer's standalone mode `typer.Exit` comes back as the status it holds.
        status = app(args=list(arguments), prog_name="usage-triggers", standalone_mode=False)
    except UsageTriggersError as error:
        return _failed(error.message)
    except typer.TyperException as error:
        return _wrong_use(error)
    except (KeyboardInterrupt, typer.Abort):
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has seen enough; Python would complain at exit otherwise.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        # The last line of defence: a person at a terminal gets one line, never a traceback.
        if os.environ.get("USAGE_TRIGGERS_TRACEBACK"):
            raise
        said = str(error).strip().splitlines()[:1] or [""]
        return _failed(
            f"unexpected {type(error).__name__}: {said[0]} (USAGE_TRIGGERS_TRACEBACK=1 shows where)"
        )
    return status if isinstance(status, int) else DONE


def _failed(message: str) -> int:
    print(f"usage-triggers: {message}", file=sys.stderr)
    return FAILED


def _wrong_use(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        print(context.get_help())
        return WRONG_USE
    path = context.command_path if context is not None else "usage-triggers"
    print(f"usage-triggers: {_one_line(error)} (see `{path} --help`)", file=sys.stderr)
    return error.exit_code


def _one_line(error: typer.TyperException) -> str:
    return " ".join(error.format_message().split()).rstrip(".")


if __name__ == "__main__":
    main()
