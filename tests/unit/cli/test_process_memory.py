"""A process that serves looks through what is loaded no more, and uses its memory again."""

import gc
import resource
import subprocess
import sys
from collections.abc import Iterator
from inspect import getsource

import pytest

from services.process_memory import YOUNG_OBJECTS_MAX, settle_memory

ROUNDS, BYTES = 200, 1 << 20


@pytest.fixture
def settled() -> Iterator[None]:
    before = gc.get_threshold()
    settle_memory()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def pages_faulted_in() -> int:
    """By bodies that come and go."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ROUNDS):
        bytes(bytearray(BYTES))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.usefixtures("settled")
def test_what_is_loaded_is_not_looked_through_again():
    assert gc.get_freeze_count() > YOUNG_OBJECTS_MAX
    assert gc.get_threshold()[0] == YOUNG_OBJECTS_MAX


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks the system how it hands out memory")
def test_freed_memory_is_used_again_instead_of_given_back():
    # In a process of its own, for it cannot be taken back.
    program = f"""
import resource
from services.process_memory import keep_freed_memory
ROUNDS, BYTES = {ROUNDS}, {BYTES}
{getsource(pages_faulted_in)}
if keep_freed_memory():
    print(pages_faulted_in())
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    if not said:
        pytest.skip("this C library cannot be told")
    pages_of_one_round = 2 * BYTES // resource.getpagesize()
    assert int(said) < 3 * pages_of_one_round
