"""The command ``hansa-control``, which loads what it needs before Python looks for cycles among it.

What is loaded stays, so that each search for cycles goes through all of it in vain: a fifth of the time that loading
takes. A server looks again once it serves (``adapters.system.calm_collector``); other commands are over before it pays.
"""

from __future__ import annotations

import gc


def main() -> None:
    """Entry point of ``hansa-control``."""
    gc.disable()
    from hansa_control.bootstrap import main as run

    run()
