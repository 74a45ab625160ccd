"""Commands of other packages, found through the entry points "hansa.commands" and loaded only when they are used.

Listing them reads the installed metadata and imports nothing. One that is broken or absent fails alone.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

ENTRY_POINT_GROUP = "hansa.commands"
_SUMMARIES = {
    "agent": "Run and look at a zone's agent.",
    "control": "Run and look at an operator's control plane.",
    "demo": "Show the main job on this machine.",
    "simulate": "Simulate what users will feel under a policy, an agreement or a law.",
    "sim": "Simulate operators, agents and failures in virtual time.",
    "verify-grant": "Check signed grants of another operator without a server: they verify (0) or not (1).",
    "verify-decision": "Make a recorded decision again, and say same (0) or different (1).",
}


class LazyGroup(TyperGroup):
    """The root command: its own commands, and those of entry points as placeholders until one is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *(name for name in sorted(found()) if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        own = self.commands.get(cmd_name)
        if own is not None or cmd_name not in found():
            return own
        return TyperCommand(cmd_name, help=_SUMMARIES.get(cmd_name, f"Commands of {found()[cmd_name].module}."))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands:
            if name in found():
                self.commands[name] = load(found()[name])
            elif not name.startswith("-"):
                raise _unknown_command(name, self.list_commands(ctx))
        return super().resolve_command(ctx, args)


def found() -> dict[str, EntryPoint]:
    """The entry points by command name; the first of a name counts."""
    points = sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: (point.name, point.value))
    return {point.name: point for point in reversed(points)}


def load(point: EntryPoint) -> Any:
    """The command of an entry point; raises HansaError NOT_FOUND that names what is missing."""
    try:
        app = point.load()
    except Exception as error:
        from hansa.errors import HansaError

        raise HansaError(
            "NOT_FOUND",
            f"the command {point.name} cannot be loaded from {point.value} ({type(error).__name__}: {error})",
        ) from error
    command = typer.main.get_command(app) if isinstance(app, typer.Typer) else app
    command.name = point.name
    return command


def _unknown_command(name: str, valid: list[str]) -> Exception:
    from hansa.errors import HansaError
    from hansa.names import hint

    return HansaError("NOT_FOUND", f"there is no command {name!r}{hint(name, valid)}")
