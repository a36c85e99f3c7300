"""Finds every message that the notifier's code and templates say."""

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from babel.messages.extract import extract

_KEYWORDS = {"say": None, "count": (1, 2)}
_METHODS = {".py": "python", ".html": "jinja2.ext:babel_extract"}


def messages() -> set[str]:
    """The message ids (of a plural, the singular)."""
    found = set()
    for source in _sources(files("services.notifier")):
        method = _METHODS[source.name[source.name.rindex(".") :]]
        with source.open("rb") as opened:
            for _, message, _, _ in extract(method, opened, keywords=_KEYWORDS):
                found.add(message[0] if isinstance(message, tuple) else message)
    return found


def _sources(folder: Traversable) -> Iterator[Traversable]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _sources(entry)
        elif entry.name.endswith(tuple(_METHODS)):
            yield entry
