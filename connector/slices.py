"""Slices: long work goes on in pieces of at most a minute, so that short work is never stuck behind it."""

import mmap
import time
from dataclasses import dataclass, field

SLICE_SECONDS = 45.0  # the page under way when they are over still lands, which makes it a minute
_stop = mmap.mmap(-1, 1)  # one byte that forked children share with the process that is told to stop


class SliceOver(Exception):
    """The run has been handed back and goes on at its checkpoint, in another slice."""


class Pending(Exception):
    """Salesforce is still at work for the run, so that nothing can be done for `pause` seconds."""

    def __init__(self, pause: float) -> None:
        super().__init__(pause)
        self.pause = pause


@dataclass(frozen=True)
class Slice:
    """The time a run has before others have theirs."""

    seconds: float = field(default_factory=lambda: SLICE_SECONDS)
    began: float = field(default_factory=time.monotonic)

    @property
    def over(self) -> bool:
        """Tell whether to hand the run back at the next page boundary."""
        return stopping() or time.monotonic() - self.began >= self.seconds


def stop() -> None:
    """End the slices of this process and its children at their next page boundary: the process is about to stop."""
    _stop[0] = 1


def stopping() -> bool:
    """Tell whether this process is about to stop."""
    return _stop[0] == 1
