"""The command ``hansa-control``, which loads what it needs before Python looks for cycles among it.

What is loaded stays, so that each search for cycles goes through all of it in vain: a fifth of the time that loading
takes. A server looks again once it serves (``adapters.system.calm_collector``); other commands are over before it pays.

gRPC is told how to wait for its sockets before it is loaded, since it asks once: its newer way hands every message
from thread to thread, which costs a fifth of the processor's time that a message takes (docs/benchmarks.md). Nor does
linear algebra get threads of its own, which it is told before it is loaded, too: a decision's matrices are small, and
idle threads spin.
"""

from __future__ import annotations

import gc
import os

GRPC_EXPERIMENTS = "-event_engine_listener,-event_engine_client"
"""What a control plane asks of gRPC's core, unless whoever starts it asks for something else."""
ONE_THREAD = "OPENBLAS_NUM_THREADS"


def main() -> None:
    """Entry point of ``hansa-control``."""
    gc.disable()
    os.environ.setdefault("GRPC_EXPERIMENTS", GRPC_EXPERIMENTS)  # noqa: TID251 - gRPC is told in no other way
    os.environ.setdefault(ONE_THREAD, "1")  # noqa: TID251 - nor is the linear algebra below numpy
    from hansa_control.bootstrap import main as run

    run()
