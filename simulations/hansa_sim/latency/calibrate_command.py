"""The command ``hansa simulate calibrate``: the token model of a server from what it noted of its requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from hansa.names import hint
from hansa_sim.engines.token_model import TokenModel
from hansa_sim.latency.calibration import Errors, Server, calibrate, errors_of
from hansa_sim.latency.served_file import Served, read_served
from hansa_sim.latency.token_facts import DEVICES, MODELS, Limits, Shares

REFUSED_EXIT_CODE = 2


File = Annotated[Path, typer.Argument(metavar="FILE.JSONL", help="What a vLLM server noted, a request a line.")]
Shape = Annotated[str, typer.Option("--model", help=f"The language model: {', '.join(MODELS)}.")]
Hardware = Annotated[
    list[str],
    typer.Option(help=f"The device that served, then others to carry the model over to: {', '.join(DEVICES)}."),
]
Set = Annotated[
    str,
    typer.Option(
        "--limits",
        help="How the server was set: sequences, step_tokens, devices, kv_tokens; left out: what the memory leaves.",
    ),
]
Out = Annotated[Path | None, typer.Option("-o", "--output", help="File for the models; left out: standard output.")]

LIMITS = "sequences=128,step_tokens=2048,devices=1"


def calibrate_file(file: File, shape: Shape, hardware: Hardware, limits: Set = LIMITS, output: Out = None) -> None:
    """Find the shares of a device's speed that a server reached, and write its token model for a scenario.

    The notes on standard error say how far the replay is from what was seen.
    """
    try:
        own = _limits(limits)
        first, *others = [_known(DEVICES, "--hardware", name) for name in hardware]
        server = Server(_known(MODELS, "--model", shape), first, own)
        served = read_served(file)
        shares = calibrate(served, server)
        carried = [Server(server.shape, one, replace(own, kv_tokens=None)) for one in others]
        models = [one.model(shares) for one in (server, *carried)]
    except ValueError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(REFUSED_EXIT_CODE) from error
    for line in _words(served, shares, errors_of(served, models[0])):
        typer.echo(line, err=True)
    text = f"# {shape}, calibrated on {file.name}\n" + as_yaml(dict(zip(hardware, models, strict=True)))
    if output is None:
        typer.echo(text, nl=False)
    else:
        _write(output, text)


def _limits(text: str) -> Limits:
    """Limits of ``key=number,...``; ValueError with the nearest key."""
    found = dict(pair.partition("=")[::2] for pair in f"{LIMITS},{text}".split(","))
    for key, value in found.items():
        if key not in Limits.__dataclass_fields__:
            raise ValueError(f"--limits: {key}: not known{hint(key, Limits.__dataclass_fields__)}")
        if not value.isdigit() or not int(value):
            raise ValueError(f"--limits: {key}: {value!r} is not a whole number above 0")
    return Limits(**{key: int(value) for key, value in found.items()})


def as_yaml(models: dict[str, TokenModel]) -> str:
    """Token models as ``engines`` of a scenario's ``tokens``."""
    rows = [{"accelerator": name, **_entry(model)} for name, model in models.items()]
    return yaml.safe_dump({"engines": rows}, sort_keys=False)


def _entry(model: TokenModel) -> dict[str, Any]:
    return {
        "step_ms": model.step_ps / 1e9,
        "token_us": model.token_ps / 1e6,
        "sample_us": model.sample_ps / 1e6,
        "context_ns": model.context_ps / 1e3,
        "attention_ns": model.attention_ps / 1e3,
        "sequences": model.sequences,
        "step_tokens": model.step_tokens,
        "kv_tokens": model.kv_tokens,
    }


def _known(table: Any, option: str, name: str) -> Any:
    if name not in table:
        raise ValueError(f"{option} {name}: not known{hint(name, table)}; known: {', '.join(table)}")
    return table[name]


def _words(served: Served, shares: Shares, errors: Errors) -> Iterator[str]:
    tokens = f"{int(served.prompt.sum())} prompt and {int(served.generated.sum())} generated tokens"
    yield f"{len(served.prompt)} requests, {tokens}"
    yield f"memory at {100 * shares.memory:.1f} % and arithmetic at {100 * shares.arithmetic:.1f} % of the device's"
    whole = f"mean {100 * errors.mean:+.1f} %, p95 {100 * errors.p95:+.1f} %"
    first = f"mean {100 * errors.first_mean:+.1f} %"
    yield f"replayed against seen, arrival to last token: {whole}; to first token: {first}"


def _write(output: Path, text: str) -> None:
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        typer.echo(f"{output}: {error.strerror or error}", err=True)
        raise typer.Exit(REFUSED_EXIT_CODE) from error
    typer.echo(f"{output} written", err=True)
