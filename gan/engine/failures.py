"""What an exception in training means: memory or a device was lost, numbers diverged, or the code has an error."""

from __future__ import annotations

import re
from typing import Final

_LOST: Final = re.compile("out of memory|can't allocate memory|not enough memory|bad_alloc|CUDA (driver )?error")


class Diverged(Exception):
    """A step or a score raised an exception over numbers that are not finite."""


def lost_machine(error: BaseException) -> bool:
    """Say whether memory ran out or a device failed: no fault of the code, and another process may do better."""
    if isinstance(error, MemoryError | SystemError) or type(error).__name__ in ("OutOfMemoryError", "AcceleratorError"):
        return True
    return isinstance(error, RuntimeError) and _LOST.search(str(error)) is not None
