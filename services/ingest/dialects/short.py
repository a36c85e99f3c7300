"""The short way of a foreign batch in which every item is plain use: decoded by its type, and not looked at
part by part. Pure.

A type refuses fields that it does not have, so what it lacks is absent from the item too. Whatever is
otherwise (a profile among the uses, an old event, a wrong clock) sends the whole body the long way, which
comes to the same records (decision record 0122).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, TypeVar

import msgspec

from services.ingest.batch import Batch
from services.ingest.dialects.mapping import Envelope, Reading
from services.ingest.dialects.paths import Path, follow
from services.ingest.json_items import UNREADABLE
from services.ingest.limits import EVENTS_MAX, NAME_CHARS_MAX, are_surely_printable
from services.ingest.plain import Plain, plain_records

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]

_BodyT = TypeVar("_BodyT")
_Getters = tuple[tuple[str, tuple[str, ...]], ...]


def decoded(decoder: msgspec.json.Decoder[_BodyT], body: bytes) -> _BodyT | None:
    """The body by its type; None where it is otherwise."""
    try:
        return decoder.decode(body)
    except UNREADABLE:
        return None


def shortened(
    long: Callable[[], Envelope],
    body: bytes,
    items: Sequence[msgspec.Struct],
    to_plain: Callable[[Any, str], Plain | None],
    *,
    key: str | None = None,
    sent_at: object = None,
    is_history: bool = False,
) -> Envelope:
    """An envelope whose items go the short way where they can; `long` opens it again where they cannot.

    `to_plain` is given an item and the customer that it names.
    """

    def batch_of(reading: Reading) -> Batch | None:
        if reading.skew_us or not 0 < len(items) <= EVENTS_MAX:
            return None
        plains = _plains(items, to_plain, reading.paths)
        if plains is None:
            return None
        are_printable = are_surely_printable(body)
        messages = plain_records(
            plains,
            reading.terms,
            reading.make_id,
            lambda _index, _plain: None,
            are_printable=are_printable,
            are_trimmed=are_printable and b" " not in body,
        )
        return Batch(messages=messages, rejected=[]) if len(messages) == len(plains) else None

    return Envelope(items=(), key=key, sent_at=sent_at, is_history=is_history, short=batch_of, long=long)


def _plains(
    items: Sequence[msgspec.Struct], to_plain: Callable[[Any, str], Plain | None], paths: Sequence[Path]
) -> list[Plain] | None:
    getters = _getters(type(items[0]), tuple(paths))
    plains = []
    for item in items:
        customer_id = _customer(item, getters)
        if customer_id.__class__ is not str or not 0 < len(customer_id) <= NAME_CHARS_MAX:
            return None
        plain = to_plain(item, customer_id)
        if plain is None:
            return None
        plains.append(plain)
    return plains


def _customer(item: msgspec.Struct, getters: _Getters) -> object:
    for attribute, steps in getters:
        value = getattr(item, attribute)
        if value is None:
            continue
        if steps:
            value = follow(value, steps)
        if value is not None and value != "":
            return value
    return None


@lru_cache(256)  # paths are as many as the configuration has products
def _getters(kind: type[msgspec.Struct], paths: tuple[Path, ...]) -> _Getters:
    """For each path that an item of this type can have, its attribute and the steps from there on."""
    attributes = dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    return tuple((attributes[path.field], path.steps) for path in paths if path.field in attributes)
