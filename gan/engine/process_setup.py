"""How a process is set up to train: one thread, no denormal numbers, and memory that it keeps."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
KEPT_BYTES = 1 << 30
MOST_BYTES_ONCE = 32 << 20  # that earlier versions of glibc take for the second


@contextmanager
def one_thread() -> Generator[None]:
    """Train with one thread, and with denormal numbers taken as zero; put both back afterwards.

    A second thread slows small GANs down many times over; so do the denormals of a starved generator's moments.
    """
    _keep_memory()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


@cache
def _keep_memory() -> None:
    """Keep memory that is let go of, for the next tensor of its size.

    A step makes and drops hundreds of megabytes of tensors; given back to the system and asked for again page by page
    they take up to a third of its time. Only glibc is asked: other systems keep more by themselves.
    """
    if sys.platform == "linux":
        with suppress(AttributeError, OSError):
            libc = ctypes.CDLL(None)
            _ = libc.mallopt(_MMAP_THRESHOLD, KEPT_BYTES) or libc.mallopt(_MMAP_THRESHOLD, MOST_BYTES_ONCE)
            libc.mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
