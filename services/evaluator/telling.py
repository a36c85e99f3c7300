"""What a batch has to say: triggers and dead letters as rows of the outbox, and the counts of them."""

from collections import Counter
from collections.abc import Iterable

from services.evaluator.changes import CustomerKey, OutboxRow
from services.evaluator.letters import UNJUDGED, dead_letter, unjudged
from shared.events import TOPIC_TRIGGERS
from shared.log import Record
from shared.triggers import Trigger, encode_trigger

NOBODY: CustomerKey = ("", "")


class Telling:
    """Rows in the order in which they were decided."""

    def __init__(self) -> None:
        self.rows: list[OutboxRow] = []
        self.triggers: Counter[tuple[str, str]] = Counter()  # by product and type
        self.rejected: Counter[str] = Counter()  # by reason

    def emit(self, key: CustomerKey, triggers: Iterable[Trigger]) -> None:
        """Triggers of one customer."""
        for trigger in triggers:
            row = OutboxRow(
                id=trigger.id,
                topic=TOPIC_TRIGGERS,
                product=key[0],
                customer_id=key[1],
                value=encode_trigger(trigger),
            )
            self.rows.append(row)
            self.triggers[key[0], trigger.type] += 1

    def put_aside(self, record: Record, reason: str, message: str, key: CustomerKey = NOBODY) -> None:
        """A record that cannot be taken, of the customer it names, if it does."""
        letter = dead_letter(record, reason=reason, message=message, product=key[0], customer_id=key[1])
        self.rows.append(letter)
        self.rejected[reason] += 1

    def put_aside_customer(self, key: CustomerKey, message: str, watermark_us: int) -> None:
        """A customer who cannot be judged."""
        self.rows.append(unjudged(key, message, watermark_us))
        self.rejected[UNJUDGED] += 1

    def forget(self, key: CustomerKey) -> None:
        """Nothing was said of this customer."""
        self.rows = [row for row in self.rows if (row.product, row.customer_id) != key]
