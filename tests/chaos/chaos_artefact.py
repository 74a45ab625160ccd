# ruff: noqa: TID251 - an artefact is told everything through its environment
"""The smallest artefact that an agent starts: it listens, says that it is ready, and waits for its end."""

import os
import signal
import socket
from pathlib import Path

with socket.create_server((os.environ["HANSA_LISTEN_HOST"], int(os.environ["HANSA_LISTEN_PORT"]))):
    Path(os.environ["HANSA_READY_FILE"]).touch()
    signal.pause()
