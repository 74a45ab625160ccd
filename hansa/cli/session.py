"""One run of a command: a connected client, where to write, and what to say on standard error."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import typer
from google.protobuf.message import Message

from hansa.cli.documents import Document, Screen, terminal_width
from hansa.cli.options import OutputFormat
from hansa.cli.output import formatted, message_data
from hansa.decision_record import unpacked
from hansa.errors import HansaError
from hansa.names import hint, short_workload
from hansa.operator_client import OperatorClient
from hansa.printable import printable
from hansa.profile import load_profile
from hansa.system import Clock, SystemClock
from hansa.v1.workload_service_pb2 import ExplainWorkloadResponse, PlanWorkloadResponse


@dataclass(frozen=True, slots=True)
class Settings:
    """What was given before the command's name."""

    profile: Path | None = None
    timeout_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """What an action needs."""

    client: OperatorClient
    tenant: str
    output: OutputFormat
    screen: Screen
    clock: Clock

    @property
    def wide(self) -> bool:
        return self.output is OutputFormat.WIDE

    @property
    def now_ms(self) -> int:
        return self.clock.now_ms()

    def emit(self, data: Message | dict[str, Any], document: Document) -> None:
        """Writes the answer: data for programs, a document for people."""
        self._emit(data, document, one_line=False)

    def emit_next(self, data: Message | dict[str, Any], document: Document) -> None:
        """The same for one of many answers: a line of JSON, a YAML document, or the next lines of text."""
        self._emit(data, document, one_line=True)

    def _emit(self, data: Message | dict[str, Any], document: Document, *, one_line: bool) -> None:
        if self.output.for_programs:
            plain = message_data(data) if isinstance(data, Message) else data
            print(formatted(plain, self.output, one_line=one_line), flush=True)
        else:
            self.screen.show(document)


Action: TypeAlias = Callable[[Session], Awaitable[int]]


def note(text: str) -> None:
    """Says something to the person that is not part of the answer."""
    print(printable(text), file=sys.stderr, flush=True)


async def keep_record(path: Path | None, answer: PlanWorkloadResponse | ExplainWorkloadResponse) -> None:
    """Writes the record of an answer to a file if one is asked for, and takes it out of what is shown."""
    if path is not None and answer.record:
        body = unpacked(answer.record)
        try:
            await asyncio.to_thread(path.write_bytes, body + b"\n")
        except OSError as error:
            raise HansaError("INVALID_FIELD", f"{path}: {error.strerror or error}", field="--record") from error
        note(f"record written; check it with: hansa verify-decision {path} --digest {answer.decision.digest}")
    answer.ClearField("record")


async def keep_grants(path: Path | None, answer: ExplainWorkloadResponse) -> None:
    """Writes the grants of an answer to a file if one is asked for, and takes their documents out of what is shown."""
    if path is not None:
        body = b"[" + b",\n".join(grant.document for grant in answer.grants) + b"]\n"
        try:
            await asyncio.to_thread(path.write_bytes, body)
        except OSError as error:
            raise HansaError("INVALID_FIELD", f"{path}: {error.strerror or error}", field="--grants") from error
        note(f"grants written; check them with: hansa verify-grant {path} --authority OPERATOR=CA.pem")
    for grant in answer.grants:
        grant.ClearField("document")


def run(settings: Settings, output: OutputFormat, action: Action, *, subject: str = "") -> None:
    """Runs an action on a connected client and leaves with its exit code; ``subject`` is the workload it is about."""
    raise typer.Exit(asyncio.run(_run(settings, output, action, subject)))


async def _run(settings: Settings, output: OutputFormat, action: Action, subject: str) -> int:
    profile = load_profile(settings.profile)
    screen = new_screen(output)
    async with OperatorClient(profile, timeout_ms=settings.timeout_ms) as client:
        try:
            return await action(Session(client, profile.tenant, output, screen, SystemClock()))
        except HansaError as error:
            if error.reason == "NOT_FOUND" and error.field == "name" and subject:
                await _name_nearest(client, error, subject)
            raise


async def _name_nearest(client: OperatorClient, error: HansaError, subject: str) -> None:
    """Appends the workload that was probably meant."""
    try:
        known = [short_workload(workload.name) async for workload in client.workloads()]
    except HansaError:
        return
    error.message += hint(short_workload(subject), known)


def new_screen(output: OutputFormat) -> Screen:
    """A screen for this format."""
    return Screen(width_columns=0 if output is OutputFormat.WIDE else terminal_width())
