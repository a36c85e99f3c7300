"""A JSON body cut into its items, so that a bad one does not spoil the others. Pure.

Three readers, each slower and more patient than the one before: msgspec for a body that is JSON,
line by line for NDJSON, and the standard library's for a body with something that JSON does not have
(NaN, half of a surrogate pair, a byte that is not UTF-8), whose other items are good all the same.
"""

import json
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from services.ingest.limits import EVENTS_MAX
from shared.errors import InvalidInput, NotParseable, TooLarge

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a body or an item that it cannot read."""

_ItemT = TypeVar("_ItemT")

_BOM = b"\xef\xbb\xbf"
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_raw = msgspec.json.Decoder(msgspec.Raw)
_anything = msgspec.json.Decoder()


class Item(msgspec.Struct, frozen=True):
    """The bytes of one item; `error` says why they are no JSON, where they are not."""

    payload: bytes
    error: InvalidInput | None = None


class _NoNumber:
    """Stands for NaN or an infinity; no encoder takes it, so it cannot slip through."""

    def __init__(self, text: str) -> None:
        self.text = text


def read_all(
    body: bytes, many: msgspec.json.Decoder[list[_ItemT]], one: msgspec.json.Decoder[_ItemT]
) -> Sequence[_ItemT] | None:
    """The items of a body, one or an array, as one decoder has them; None unless it takes every one.

    Raises TooLarge for too many items.
    """
    try:
        items = many.decode(body) if body[:1] == b"[" else [one.decode(body)]
    except UNREADABLE:
        return None
    check_count(len(items))
    return items


def split(body: bytes, *, lines: bool = False) -> Sequence[Item]:
    """Each item of an array, of NDJSON, or a single one.

    Raises NotParseable when nothing can be made of the body, TooLarge for too many items.
    """
    body = body.removeprefix(_BOM).strip()
    if not body:
        raise NotParseable("the body is empty")
    if lines:
        return _split_lines(body)
    try:
        return _split_json(body)
    except RecursionError as error:
        raise NotParseable("the body is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Objects on lines of their own are NDJSON, whatever the content type says.
        if body[:1] == b"{" and b"\n" in body and _is_json(body.partition(b"\n")[0]):
            return _split_lines(body)
        return _split_patiently(body, str(error))


def read_value(body: bytes) -> tuple[Any, bool]:
    """The value of a JSON body, and whether it is clean.

    One that is not holds something that JSON does not have; `check_clean` finds out which of its
    items is to blame. Raises NotParseable.
    """
    body = body.removeprefix(_BOM)
    try:
        return _anything.decode(body), True
    except RecursionError as error:
        raise NotParseable("the body is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _read_patiently(body, str(error)), False


def check_clean(value: object) -> None:
    """Raises InvalidInput where `value` holds something that JSON does not have."""
    item = _encoded(value)
    if item.error is not None:
        raise item.error


def payload_of(value: object) -> bytes:
    """`value` as JSON text for people and dead letters, whatever it holds."""
    return _encoded(value).payload


def check_count(count: int) -> None:
    """Raises TooLarge for more items than are taken at once."""
    if count > EVENTS_MAX:
        raise TooLarge(f"{EVENTS_MAX} items at the most in a body; send it in parts")


def _split_json(body: bytes) -> Sequence[Item]:
    body.decode()  # Raw items are not decoded here, so nobody else looks whether they are UTF-8.
    if body[:1] != b"[":
        _raw.decode(body)
        return [Item(body)]
    raws = _raws.decode(body)
    check_count(len(raws))
    return [Item(bytes(raw)) for raw in raws]


def _split_lines(body: bytes) -> Sequence[Item]:
    numbered = [(number, line.strip()) for number, line in enumerate(body.split(b"\n"), 1)]
    filled = [(number, line) for number, line in numbered if line]
    check_count(len(filled))
    return [
        Item(line) if _is_json(line) else Item(line, NotParseable(f"line {number} is not JSON"))
        for number, line in filled
    ]


def _is_json(line: bytes) -> bool:
    try:
        line.decode()
        _raw.decode(line)
    except UNREADABLE:
        return False
    return True


def _split_patiently(body: bytes, cause: str) -> Sequence[Item]:
    value = _read_patiently(body, cause)
    values = value if isinstance(value, list) else [value]
    check_count(len(values))
    return [_encoded(value) for value in values]


def _read_patiently(body: bytes, cause: str) -> Any:
    try:
        text = body.decode("utf-8", "surrogateescape")
        return json.loads(text, parse_constant=_NoNumber, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise NotParseable(f"the body is not JSON: {cause[:200]}") from error


def _encoded(value: object) -> Item:
    try:
        return Item(msgspec.json.encode(value))
    except UnicodeEncodeError:
        return Item(_as_text(value), InvalidInput("text that is not Unicode (half of a surrogate pair)"))
    except (TypeError, RecursionError):
        return Item(_as_text(value), InvalidInput("a number that JSON does not have, such as NaN"))


def _as_text(value: object) -> bytes:
    return json.dumps(value, default=lambda number: number.text).encode()


def _finite(text: str) -> float | _NoNumber:
    number = float(text)
    return number if math.isfinite(number) else _NoNumber(text)
