"""What the command line takes from and leaves to the environment."""

from __future__ import annotations

import os


def quiet_transport() -> None:
    """Keeps the transport's own log off standard error, unless somebody asked for it; errors are told in one line.

    To be called before the transport is imported, as it reads this once.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # noqa: TID251
