"""Rejected items as dead letters: kept with their reason and origin, so that they can be sent again. Pure."""

from collections.abc import Iterable
from uuid import UUID, uuid5

from services.ingest.batch import Rejection
from shared.events import DeadLetter, encode, record_key
from shared.log import Message

_NAMESPACE = UUID("7a1f9f35-2c0e-5b56-9a51-3f3f6f0f7c1d")


def dead_letter(rejection: Rejection, *, product: str, origin: str, now_us: int) -> DeadLetter:
    """The dead letter of one item.

    Its id is made of what was refused, where and why: a sender that repeats the same bad item for hours
    leaves one letter, not thousands, and one that is sent again as history and fails again stays one.
    """
    path = origin.partition(":")[2]
    identity = "\x1f".join((product, path, rejection.code, rejection.payload))
    return DeadLetter(
        id=str(uuid5(_NAMESPACE, identity)),
        product=product,
        reason=rejection.code,
        message=rejection.message,
        origin=origin,
        rejected_us=now_us,
        customer_id=rejection.customer_id,
        payload=rejection.payload,
    )


def dead_letter_records(
    rejected: Iterable[Rejection], *, product: str, origin: str, now_us: int
) -> list[Message]:
    """The records of `usage.dead_letters`, one for each item refused."""
    letters = (dead_letter(item, product=product, origin=origin, now_us=now_us) for item in rejected)
    return [
        Message(value=encode(letter), key=record_key(product, letter.customer_id or "")) for letter in letters
    ]
