"""Ctrl-C: once, and what is being done is brought to a good end; twice, and it stops now."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""From a person, and from a scheduler that needs the machine."""


class Interrupts:
    """Whether the work was asked to stop."""

    def __init__(self) -> None:
        self.asked: signal.Signals | None = None

    def stopping(self) -> bool:
        """Say whether it was."""
        return self.asked is not None

    @property
    def status(self) -> int:
        """Exit status of a program that was stopped: 130 by Ctrl-C."""
        return 128 + (self.asked or signal.SIGINT)


@contextmanager
def gracefully(say: Callable[[str], None]) -> Generator[Interrupts]:
    """Note the first request to stop instead of being interrupted by it; the second raises KeyboardInterrupt.

    Args:
        say: Called, at the first, with what happens now.
    """
    found = Interrupts()

    def handle(number: int, frame: FrameType | None) -> None:
        if found.asked is not None:
            raise KeyboardInterrupt
        found.asked = signal.Signals(number)
        say("stopping: what is finished is being written (once more stops now); the same command goes on from there")

    if threading.current_thread() is not threading.main_thread():  # which alone may handle signals
        yield found
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
