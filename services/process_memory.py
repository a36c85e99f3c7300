"""What a process does about its memory once it is complete and before it serves (decision record 0132)."""

import ctypes
import gc

YOUNG_OBJECTS_MAX = 10_000
"""The interpreter's own 700 are reached by the requests that wait for the log, none of which is garbage."""

KEPT_BYTES_MAX = 16 << 20
LARGE_BYTES_MIN = 4 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def settle_memory() -> None:
    """What is loaded by now stays, so that nobody looks through it for garbage again; and freed memory is
    used again instead of given back."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, *gc.get_threshold()[1:])
    keep_freed_memory()


def keep_freed_memory() -> bool:
    """Whether the C library could be told to keep up to `KEPT_BYTES_MAX` of it; only GNU's knows how.

    Otherwise every large request has the system hand out, clear and take back the same pages.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES_MIN) and mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES_MAX))
