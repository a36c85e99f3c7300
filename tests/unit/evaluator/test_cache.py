"""The cache holds what was asked for lately, and no more than its bound."""

from services.evaluator.cache import CustomerCache, Known


def test_what_is_asked_for_stays_what_is_not_goes() -> None:
    cache = CustomerCache(10)
    busy = Known(None, 1)
    cache.put(b"p/busy", busy)
    for n in range(100):
        cache.put(f"p/{n}".encode(), Known(None, None))
        assert cache.get(b"p/busy") is busy
        cache.age()
    assert cache.get(b"p/0") is None
    assert len(cache) <= 10


def test_nothing_is_forgotten_within_a_batch() -> None:
    cache = CustomerCache(2)
    for n in range(50):
        cache.put(f"p/{n}".encode(), Known(None, n))
    assert [known.due_us for n in range(50) if (known := cache.get(f"p/{n}".encode()))] == list(range(50))


def test_what_is_put_again_is_held_once() -> None:
    cache = CustomerCache(4)
    for n in range(6):
        cache.put(b"p/a", Known(None, n))
        cache.put(b"p/b", Known(None, n))
        cache.age()
    newest = cache.get(b"p/a")
    assert newest is not None
    assert newest.due_us == 5
    assert len(cache) == 2


def test_the_customers_of_a_product_are_found_in_both_generations() -> None:
    cache = CustomerCache(2)
    cache.put(b"p/old", Known(None, 1))
    cache.age()
    cache.put(b"p/young", Known(None, 2))
    cache.put(b"q/other", Known(None, 3))
    assert {known.due_us for known in cache.of_product("p")} == {1, 2}
