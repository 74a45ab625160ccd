"""Numbers in both directions of a stream whose carrier may lose, double and reorder messages.

What arrives twice is passed over. What is missing cannot be had back, since a broker that was killed has forgotten it:
a gap is the end of the stream, and the next one begins with what both sides hold. So what one side acts on is always
the whole beginning of what the other side said, in its order.

Pure: numbers in, numbers out.
"""

from __future__ import annotations

from hansa.errors import ProtocolViolation

UNACKNOWLEDGED_MAX = 256


class Numbers:
    """One side's view of one stream."""

    def __init__(self, unacknowledged_max: int = UNACKNOWLEDGED_MAX) -> None:
        self._unacknowledged_max = unacknowledged_max
        self._sent = 0
        self._confirmed = 0
        self._taken = 0
        self.doubled_count = 0

    @property
    def taken(self) -> int:
        """The highest number that was taken over, to be told to the other side."""
        return self._taken

    @property
    def sent(self) -> int:
        """The highest number that was given out."""
        return self._sent

    def next(self) -> int:
        """The number of the next message. ProtocolViolation if the other side has not taken over too many."""
        if self._sent - self._confirmed >= self._unacknowledged_max:
            raise ProtocolViolation(f"the other side has not taken over the last {self._unacknowledged_max} messages")
        self._sent += 1
        return self._sent

    def take(self, sequence: int, acknowledged: int) -> bool:
        """Whether a message is new. ProtocolViolation if one is missing before it, or if it acknowledges what was
        never sent.
        """
        if not 0 <= acknowledged <= self._sent:
            raise ProtocolViolation(f"acknowledges message {acknowledged}; {self._sent} is the last that was sent")
        if sequence > self._taken + 1:
            raise ProtocolViolation(f"message {self._taken + 1} was lost on the way; {sequence} came")
        self._confirmed = max(self._confirmed, acknowledged)
        if sequence <= self._taken:
            self.doubled_count += 1
            return False
        self._taken = sequence
        return True
