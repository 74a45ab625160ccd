"""What an API server says when it does not do what it was asked, and whether trying again later may help. Pure."""

from __future__ import annotations

import re

from hansa_agent.kubernetes.words import printable

_PASSING = (401, 408, 409, 410, 425, 429)
_LIFTED = re.compile(r"cannot [a-z]+ resource \"|exceeded quota|because it is being terminated")
"""Of a 403: a right that is not granted yet, a quota that others fill, a namespace that goes. What an admission
plugin or a webhook has against the body itself, it has against the same body later, too."""


class ApiRefused(Exception):
    """The API server answered with an error. ``retry_after_s`` is what it asked to wait; 0 if it did not."""

    def __init__(self, status: int, reason: str, message: str, retry_after_s: float = 0.0) -> None:
        self.status = status
        self.reason = reason
        self.message = printable(message)
        self.retry_after_s = retry_after_s
        self.may_be_lifted = status == 403 and bool(_LIFTED.search(message))
        super().__init__(f"{status} {reason}: {self.message}")

    @property
    def passing(self) -> bool:
        """Whether trying again later may help."""
        return self.status in _PASSING or self.status >= 500 or self.may_be_lifted

    @property
    def is_conflict_of_managers(self) -> bool:
        """Whether server-side apply was refused because of another field manager."""
        return self.status == 409 and self.message.startswith("Apply failed with")


class NotServed(ApiRefused):
    """The cluster has no such kind of object, at present: what defines it may be installed later."""

    def __init__(self, group: str, plural: str) -> None:
        super().__init__(404, "NotServed", f"the cluster serves no {plural} of {group}")
        self.may_be_lifted = True
