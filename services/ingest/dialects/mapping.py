"""The steps that every dialect takes from a foreign item to a record of ours. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from services.ingest.batch import Batch, Rejection, event_record, profile_record, reject
from services.ingest.customers import ProfileBody, parse_profile
from services.ingest.dialects.paths import Found, Path, find_customer
from services.ingest.json_items import check_clean, check_count, payload_of
from services.ingest.limits import (
    Terms,
    are_plain,
    check_id,
    check_instant,
    check_name,
    check_nesting,
    instant_us,
)
from services.ingest.plain import MakeId
from shared.errors import InvalidInput, NotParseable
from shared.events import Event, Profile, ProfileChanged
from shared.log import Message

SKEW_MIN_US = 5 * 60 * 1_000_000
"""A sender's clock that is wrong by less is left alone: a slow request or a retry takes as long."""

Json = Mapping[str, Any]

_FIELDS = frozenset(ProfileBody.model_fields) - {"properties", "calendar", "pause", "closures"}
_ZONE_ALIASES = frozenset(("timezone", "timeZone"))
_TEXTS = frozenset(("name", "csm", "segment", "phone"))


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A body taken out of its wrapping. `key` is an API key that came in the body, `sent_at` as written.

    `are_printable`: that none of its text has control characters is known already. `short` makes the whole
    batch at once where every item is plain use, and None where not; then `long` has the items.
    """

    items: Sequence[Any]
    is_clean: bool = True
    are_printable: bool = False
    key: str | None = None
    sent_at: object = None
    is_history: bool = False
    short: "Callable[[Reading], Batch | None] | None" = None
    long: "Callable[[], Envelope] | None" = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How the items of a body are read: by which terms, where customers stand, how wrong the clock was.

    Whatever occurred from `oldest_us` until now is in time, without a further question.
    """

    terms: Terms
    oldest_us: int
    paths: Sequence[Path]
    make_id: MakeId
    skew_us: int = 0
    are_printable: bool = False
    may_tell_profiles: bool = True


Parsed = Event | ProfileChanged | None
"""What one item says: use, a profile, or neither (an alias, a flag looked up)."""

ParseItem = Callable[[Json, Reading], Parsed]


def read_items(envelope: Envelope, parse: ParseItem, reading: Reading) -> Batch:
    """Every item through `parse`; one that cannot be taken is rejected alone."""
    if envelope.short is not None and envelope.long is not None:
        batch = envelope.short(reading)
        if batch is not None:
            return batch
        envelope = envelope.long()
        reading = msgspec.structs.replace(reading, are_printable=envelope.are_printable)
    check_count(len(envelope.items))
    messages: list[Message] = []
    rejected: list[Rejection] = []
    profile_count = 0
    for index, item in enumerate(envelope.items):
        try:
            if not envelope.is_clean:
                check_clean(item)
            if not isinstance(item, dict):
                raise NotParseable("an item is a JSON object")
            parsed = parse(item, reading)
            if isinstance(parsed, Event):
                messages.append(event_record(parsed))
            elif parsed is not None:
                messages.append(profile_record(parsed))
                profile_count += 1
        except InvalidInput as error:
            rejected.append(_rejection(index, item, error, reading.paths))
    return Batch(
        messages=messages,
        rejected=rejected,
        profile_count=profile_count,
        ignored_count=len(envelope.items) - len(messages) - len(rejected),
    )


def reading_of(
    envelope: Envelope,
    *,
    terms: Terms,
    paths: Sequence[Path],
    make_id: MakeId,
    may_tell_profiles: bool = True,
) -> Reading:
    """How to read `envelope` under `terms`; profiles only where the key has the scope for them."""
    if envelope.is_history:
        terms = msgspec.structs.replace(terms, backfill=True)
    skew_us = _skew_us(envelope.sent_at, terms.now_us)
    return Reading(
        terms=terms,
        oldest_us=terms.oldest_us,
        paths=paths,
        make_id=make_id,
        skew_us=skew_us,
        are_printable=envelope.are_printable,
        may_tell_profiles=may_tell_profiles,
    )


def customer_of(item: Json, paths: Sequence[Path]) -> Found:
    """Who the item is about; raises InvalidInput where it names nobody."""
    found = find_customer(item, paths)
    if found is None:
        message = f"names no customer: none of {', '.join(path.text for path in paths)} is filled"
        raise InvalidInput(message, code="no_customer")
    return found


def use(
    reading: Reading,
    found: Found,
    *,
    name: object,
    event_id: object,
    at: object,
    at_field: str,
    skew_us: int,
    user_id: object,
    properties: object,
) -> Event:
    """The event of an item's parts, every one of them checked; None or "" where it has none."""
    customer_id = found.value
    event_id, user_id = event_id or "", user_id or ""
    are_printable = reading.are_printable
    if not are_plain(customer_id, event_id, name, user_id, are_printable=are_printable) or name == "":
        customer_id = check_id(customer_id, found.path)
        event_id = check_id(event_id, "the event's id") if event_id != "" else ""
        name = _name(name)
        user_id = check_id(user_id, "the user's id") if user_id != "" else ""
    return Event(
        product=reading.terms.product,
        customer_id=customer_id,  # type: ignore[arg-type]
        event_id=event_id or reading.make_id(),  # type: ignore[arg-type]
        event=name,  # type: ignore[arg-type]
        occurred_us=_occurred_us(reading, at, at_field, skew_us),
        received_us=reading.terms.now_us,
        user_id=user_id or None,  # type: ignore[arg-type]
        properties=_properties(properties),
        backfill=reading.terms.backfill,
    )


def profile(reading: Reading, found: Found, traits: object) -> ProfileChanged | None:
    """What traits tell of the customer, to be laid over what is known; None where they tell nothing."""
    if not isinstance(traits, Mapping) or not traits:
        return None
    if not reading.may_tell_profiles:
        raise InvalidInput("the key lacks the scope 'customers'", code="forbidden")
    return ProfileChanged(
        product=reading.terms.product,
        customer_id=check_id(found.value, found.path),
        profile=_profile_of(traits),
        received_us=reading.terms.now_us,
        merge=True,
        backfill=reading.terms.backfill,
    )


def _profile_of(traits: Json) -> Profile:
    """Traits by our names are fields, the others properties.

    Common words (`name`, `segment`) may mean something else in another's traits, so what does not
    fit is a property too; but a wrong `time_zone` is meant for us, and is refused.
    """
    fields: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in traits.items():
        field = "time_zone" if name in _ZONE_ALIASES and _is_good("time_zone", value) else name
        if field not in _FIELDS or (field in (*_TEXTS, "mrr") and not _is_good(field, value)):
            properties[name] = value
        elif value is not None:
            fields[field] = value
    return parse_profile({**fields, "properties": properties})


def _is_good(field: str, value: object) -> bool:
    try:
        parse_profile({field: value})
    except InvalidInput:
        return False
    return True


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput("event is text")
    return check_name(value, "event")


def _properties(value: object) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput("properties are an object")
    check_nesting(value)
    return value


def _occurred_us(reading: Reading, at: object, field: str, skew_us: int) -> int:
    if at is None or at == "":
        return reading.terms.now_us
    try:
        occurred_us = instant_us(datetime.fromisoformat(at), field) + skew_us  # type: ignore[arg-type]
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{field} is no time such as 2026-03-02T18:30:00+09:00") from error
    if not reading.oldest_us <= occurred_us <= reading.terms.now_us:
        check_instant(occurred_us, reading.terms)
    return occurred_us


def _skew_us(sent_at: object, now_us: int) -> int:
    """How much the sender's clock is behind ours: what it says was now against what is.

    Every SDK stamps a body anew when it sends it again, so this is its clock and not its patience.
    """
    if not isinstance(sent_at, str):
        return 0
    try:
        skew_us = now_us - instant_us(datetime.fromisoformat(sent_at), "sentAt")
    except (ValueError, InvalidInput):
        return 0
    return skew_us if abs(skew_us) >= SKEW_MIN_US else 0


def _rejection(index: int, item: object, error: InvalidInput, paths: Sequence[Path]) -> Rejection:
    found = find_customer(item, paths) if isinstance(item, dict) else None
    return reject(index, error, payload_of(item), found.value if found else None)
