"""What becomes of requests that nobody serves at once, by number: how a request ended, and what happened on the way."""

from __future__ import annotations

GAVE_UP, UNLAWFUL, UNREACHABLE = range(3)
"""How a request ended that was not served: after its last try, or because there never was a lawful way, or any."""

CUT, STRUCK, RETRIED = range(3, 6)
"""What happened to a try: lost on a way that is no more, or in a zone that went down or was; and that it was sent
again."""

OUTCOMES = 6
