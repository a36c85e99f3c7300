"""Files that a command writes: opened before the work, so that a bad path is known at once."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from shared.errors import SetupError


@contextmanager
def opened(name: str | None) -> Iterator[TextIO | None]:
    """The file to write to, standard output for `-`, None where none is named. Raises SetupError."""
    if name is None:
        yield None
    elif name == "-":
        yield sys.stdout
    else:
        try:
            file = Path(name).open("w", encoding="utf-8", newline="\n")  # noqa: SIM115
        except OSError as error:
            raise SetupError(f"cannot write {name}: {error.strerror}") from error
        with file:
            yield file
