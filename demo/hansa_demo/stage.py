"""What the story plays on: the processes, the terminal, the account, and short ways to ask the command line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from hansa_demo.check import Account, wait_for
from hansa_demo.ocr_client import Recognition, recognise
from hansa_demo.prepare import Prepared
from hansa_demo.processes import Answer, DemoFailed, Processes
from hansa_demo.scenario import TENANT
from hansa_demo.yard_images import YardImage, yard_image

T = TypeVar("T")


class Stage:
    """One run of the demonstration."""

    def __init__(self, prepared: Prepared, console: Console) -> None:
        self.prepared = prepared
        self.console = console
        self.processes = Processes(prepared)
        self.account = Account()
        self.started_s = time.monotonic()  # noqa: TID251

    # --- showing ---

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started_s  # noqa: TID251

    def step(self, number: int, title: str) -> None:
        self.console.print()
        self.console.rule(f"[bold]{number}. {title}[/bold]  [dim]{self.elapsed_s:.0f} s[/dim]", align="left")

    def say(self, text: str) -> None:
        self.console.print(f"  {text}", highlight=False)

    def command(self, text: str) -> None:
        self.console.print(f"  [bold cyan]$ {text}[/bold cyan]", highlight=False)

    def show(self, answer: Answer) -> None:
        """What a command printed, as it printed it."""
        for line in (answer.out.rstrip() or answer.err.rstrip()).splitlines():
            self.console.print(f"    {line}", highlight=False, markup=False, overflow="crop", no_wrap=True)

    def seen(self, promise: str, what: str, *, kept: bool = True) -> None:
        """Notes a promise and shows it; DemoFailed if it was not kept."""
        mark = "[green]ok[/green]  " if kept else "[red]NOT [/red]"
        self.console.print(f"  {mark} {promise} [dim]({what})[/dim]", highlight=False)
        self.account.note(promise, what, kept=kept)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        if self.console.is_terminal:
            with self.console.status(f"{text} ..."):
                yield
        else:
            yield

    def wait(self, what: str, look: Callable[[], T | None], timeout_s: float = 30.0) -> tuple[T, float]:
        """Waits with a sign of life; DemoFailed also as soon as a process has ended that should run."""

        def look_alive() -> T | None:
            self.processes.check_alive()
            return look()

        with self.waiting(what):
            return wait_for(what, look_alive, timeout_s)

    # --- asking ---

    def hansa(self, *arguments: str, shown: bool = True) -> Answer:
        """Runs a command of the app team and shows it as one would type it."""
        if shown:
            self.command("hansa " + " ".join(arguments))
        width = max(80, min(self.console.width - 4, 132))
        answer = self.processes.hansa(*arguments, columns=width)
        if shown:
            self.show(answer)
        return answer

    def workload(self, name: str) -> dict[str, Any]:
        answer = self.processes.hansa("get", name, "-o", "json")
        if answer.exit_code != 0:
            raise DemoFailed(f"hansa get {name}: {answer.err.strip()}")
        return dict(answer.json())

    def zone_of(self, name: str) -> str:
        """The zone that answers for a workload now; empty if none does."""
        live = [p for p in self.workload(name)["placements"] if p["state"] == "READY"]
        return str(live[-1]["zone"]) if live else ""

    def events(self, name: str) -> list[dict[str, Any]]:
        answer = self.processes.hansa("describe", name, "-o", "json")
        return list(answer.json().get("events", []))

    def endpoint(self, name: str) -> tuple[str, bytes] | None:
        """URL and certificate authority of a workload's endpoint; None while none answers."""
        answer = self.processes.hansa("endpoint", name, "-o", "json")
        if answer.exit_code != 0:
            return None
        found = answer.json()
        urls, ca_pem = found["endpoint_urls"], str(found["endpoint_ca_pem"])
        return (str(urls[0]), ca_pem.encode()) if isinstance(urls, Sequence) and urls else None

    def recognise(self, name: str, images: Sequence[YardImage]) -> list[Recognition]:
        """Sends images to a workload's endpoint, one after another; DemoFailed if there is none."""
        found = self.endpoint(name)
        if found is None:
            raise DemoFailed(f"{name} has no endpoint")
        return recognise_all(self.prepared.directory / "tls", found, images)


def recognise_all(tls: Path, endpoint: tuple[str, bytes], images: Sequence[YardImage]) -> list[Recognition]:
    """Sends images with the app team's certificate."""
    url, ca_pem = endpoint
    cert, key = tls / f"{TENANT}.pem", tls / f"{TENANT}-key.pem"

    async def send() -> list[Recognition]:
        return [await recognise(url, ca_pem, cert, key, image.jpeg) for image in images]

    return asyncio.run(send())


def images(first: int, count: int) -> list[YardImage]:
    return [yard_image(seed) for seed in range(first, first + count)]


def recognition_table(drawn: Sequence[YardImage], answers: Sequence[Recognition]) -> Table:
    """What stood in the images, what was read and how long it took."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for header in ("in the image", "read", "container at (px)", "server", "round trip"):
        table.add_column(header)
    for image, answer in zip(drawn, answers, strict=True):
        texts = ", ".join(answer.texts)
        position = ", ".join(f"{x:.0f},{y:.0f}" for x, y in answer.boxes[0][:1]) if answer.boxes else "-"
        table.add_row(
            f"{image.container_number} | {image.plate}",
            texts,
            position,
            f"{answer.server_ms:.0f} ms",
            f"{answer.client_ms:.0f} ms",
        )
    return table


def summary(account: Account, elapsed_s: float) -> Panel:
    """All promises with what was seen."""
    table = Table(box=None, padding=(0, 1), show_header=False)
    for promise, kept, what in account.rows:
        table.add_row("[green]ok[/green]" if kept else "[red]NOT[/red]", promise, f"[dim]{what}[/dim]")
    title = f"{sum(kept for _, kept, _ in account.rows)} of {len(account.rows)} promises seen in {elapsed_s:.0f} s"
    return Panel(table, title=title, title_align="left")
