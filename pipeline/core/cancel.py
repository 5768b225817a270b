"""The one cancel event that every wait uses."""

from __future__ import annotations

import threading

from pipeline.errors import CancelledError


class Cancel:
    """Set once by the first signal; waits end at once, children are ended by whoever started them."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal_number = 0

    def set(self, signal_number: int) -> None:
        self.signal_number = signal_number
        self._event.set()

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Sleep up to `seconds`; True when the sleep was cut short by a cancel."""
        return self._event.wait(seconds)

    def check(self) -> None:
        """Raise `CancelledError` when a cancel was requested."""
        if self.requested:
            raise CancelledError(self.signal_number)
