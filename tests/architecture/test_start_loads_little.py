"""What a control plane loads before it serves: not what migrates databases, what decisions alone need, what few use."""

from __future__ import annotations

import subprocess
import sys

LATER = ("aiomqtt", "alembic", "mako", "networkx", "scipy.optimize", "scipy.sparse", "scipy.special")


def test_a_control_plane_serves_without_what_only_migrations_and_decisions_need() -> None:
    said = f"import sys, hansa_control.bootstrap; print([name for name in {LATER!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_command_loads_while_no_cycles_are_looked_for() -> None:
    said = (
        "import gc, sys; from hansa_control import command; sys.argv = ['hansa-control', '--help']\n"
        "try: command.main()\nexcept SystemExit as done: print(gc.isenabled(), done.code)"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False 0")
