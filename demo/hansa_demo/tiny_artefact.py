# ruff: noqa: TID251 - an artefact is told everything through its environment
"""The smallest artefact that an agent starts: it listens, says that it is ready, and takes whoever connects."""

import os
import socket
from pathlib import Path

with socket.create_server((os.environ["HANSA_LISTEN_HOST"], int(os.environ["HANSA_LISTEN_PORT"]))) as listening:
    Path(os.environ["HANSA_READY_FILE"]).touch()
    while True:
        listening.accept()[0].close()
