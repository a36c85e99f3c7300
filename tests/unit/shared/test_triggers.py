"""Triggers: an id that every implementation of UUIDv5 derives alike."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from shared.triggers import trigger_id

NAMESPACE = UUID("0f6dc2f8-8a4b-5d3e-9a43-5f8d6f1f4c55")
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(texts, texts, texts, texts, texts, texts)
def test_an_id_is_the_uuid_of_what_makes_a_trigger_the_one_it_is(
    product: str, customer_id: str, rule: str, type: str, day: str, episode: str
) -> None:
    name = "\x1f".join((product, customer_id, rule, type, day, episode))
    assert trigger_id(
        product=product, customer_id=customer_id, rule=rule, type=type, day=day, episode=episode
    ) == str(uuid5(NAMESPACE, name))
