"""The command ``hansa sim``: plays scenarios on virtual time and says what came of them."""

from __future__ import annotations

import json
import re
from typing import Annotated

import typer

from hansa_sim.scenario import Outcome, run_scenario
from hansa_sim.scenarios import SCENARIOS
from hansa_sim.sweep import Played, sweep

BROKEN_EXIT_CODE = 1
PROGRESS_SEEDS = 50
"""After so many seeds a sweep says how far it is."""

app = typer.Typer(help="Simulate operators, agents and failures on virtual time.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """Simulate operators, agents and failures on virtual time, with the production control plane and agent."""


@app.command("scenarios")
def list_scenarios() -> None:
    """List the scenarios."""
    for scenario in SCENARIOS.values():
        typer.echo(f"{scenario.name:<24} {scenario.title}")


@app.command("run")
def run(
    scenario: Annotated[str, typer.Option(help="Which scenario; see `hansa sim scenarios`.")] = "two-operators",
    seed: Annotated[int, typer.Option(help="The seed; the same seed plays the same run.")] = 1,
    seeds: Annotated[str, typer.Option(metavar="A..B", help="Many seeds instead of one, both ends included.")] = "",
    output: Annotated[str, typer.Option("-o", "--output", help="text: everything with one seed; line; json.")] = "text",
) -> None:
    """Play a scenario; exit 1 if an invariant is broken."""
    if scenario not in SCENARIOS:
        raise typer.BadParameter(f"no scenario {scenario!r}; there are {', '.join(sorted(SCENARIOS))}")
    if output not in {"text", "line", "json"}:
        raise typer.BadParameter(f"{output!r} is none of text, line and json")
    form = "line" if seeds and output == "text" else output
    outcomes = [_play(scenario, one, form) for one in _seeds(seed, seeds)]
    if form == "line":
        _sum_up(outcomes)
    if not all(outcome.is_sound for outcome in outcomes):
        raise typer.Exit(BROKEN_EXIT_CODE)


@app.command("sweep")
def sweep_seeds(
    scenario: Annotated[str, typer.Option(help="Which scenario; see `hansa sim scenarios`.")] = "drawn",
    start: Annotated[int, typer.Option(min=0, help="The first seed.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds.")] = 1_000,
    jobs: Annotated[int, typer.Option(min=0, help="Processes side by side; 0: one a core.")] = 0,
) -> None:
    """Play many seeds; print one command for each that breaks, and exit 1 if any does."""
    if scenario not in SCENARIOS:
        raise typer.BadParameter(f"no scenario {scenario!r}; there are {', '.join(sorted(SCENARIOS))}")
    played_count = 0

    def tell(played: Played) -> None:
        nonlocal played_count
        played_count += 1
        if played.broken:
            typer.echo(f"{played.command}\n" + "".join(f"  BROKEN {what}\n" for what in played.broken), nl=False)
        if played_count % PROGRESS_SEEDS == 0:
            typer.echo(f"{played_count} of {seeds} seeds", err=True)

    broken = sweep(scenario, range(start, start + seeds), jobs, tell)
    typer.echo(f"{seeds - len(broken)} of {seeds} seeds sound")
    if broken:
        raise typer.Exit(BROKEN_EXIT_CODE)


def _seeds(seed: int, seeds: str) -> range:
    if not seeds:
        return range(seed, seed + 1)
    found = re.fullmatch(r"(\d+)\.\.(\d+)", seeds)
    if found is None or int(found[1]) > int(found[2]):
        raise typer.BadParameter(f"{seeds!r} is not a span of seeds like 1..30")
    return range(int(found[1]), int(found[2]) + 1)


def _play(scenario: str, seed: int, form: str) -> Outcome:
    outcome = run_scenario(SCENARIOS[scenario], seed, typer.echo if form == "text" else None)
    typer.echo(json.dumps(_as_json(outcome)) if form == "json" else _in_a_line(outcome))
    for what in outcome.broken:
        typer.echo(f"  BROKEN {what}", err=True)
    return outcome


def _in_a_line(outcome: Outcome) -> str:
    verdict = "sound" if outcome.is_sound else "BROKEN"
    seconds = outcome.virtual_ms / 1_000
    events = f"{len(outcome.lines)} events in {seconds:.1f} virtual s"
    return f"{outcome.scenario} seed {outcome.seed}: {verdict}, {events}, digest {outcome.digest}"


def _as_json(outcome: Outcome) -> dict[str, object]:
    return {
        "scenario": outcome.scenario,
        "seed": outcome.seed,
        "sound": outcome.is_sound,
        "broken": outcome.broken,
        "digest": outcome.digest,
        "virtual_ms": outcome.virtual_ms,
        "events": len(outcome.lines),
        "steps": outcome.step_count,
    }


def _sum_up(outcomes: list[Outcome]) -> None:
    broken = [str(outcome.seed) for outcome in outcomes if not outcome.is_sound]
    if len(outcomes) > 1:
        typer.echo(f"{len(outcomes) - len(broken)} of {len(outcomes)} seeds sound")
    if broken:
        typer.echo(f"broken: seeds {', '.join(broken)}; play one again with --seed", err=True)
