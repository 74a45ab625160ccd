"""``hansa-control ca``: an operator's own certificate authority on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509

from hansa_control.adapters.authority import (
    KeyPair,
    Role,
    Subject,
    Validity,
    issue,
    new_authority,
    spiffe_id,
    trust_domain_of,
    write_private,
)
from hansa_control.adapters.codec_fields import NAME
from hansa_control.adapters.system import SystemClock

EXIT_USAGE = 2
CA_STEM = "ca"

app = typer.Typer(no_args_is_help=True, help="The operator's own certificate authority.")

DirOption = Annotated[Path, typer.Option("--dir", help="Folder of the authority: ca.pem and ca.key.")]


@app.command()
def init(
    operator: Annotated[str, typer.Option(help="The operator's name, for example nordfjord.")],
    directory: DirOption = Path("tls"),
    trust_domain: Annotated[str, typer.Option(help="Default: <operator>.hansa.example.")] = "",
    days: Annotated[int, typer.Option(min=1, max=7300, help="How long it is valid.")] = 1825,
) -> None:
    """Make an authority: ca.pem, to be given to partners and agents, and ca.key, to be kept offline."""
    if not NAME.fullmatch(operator):
        raise _wrong(f"{operator!r} is not a name (1 to 63 lower-case letters, digits and inner hyphens)")
    domain = trust_domain or f"{operator}.hansa.example"
    pair = new_authority(operator, domain, Validity.of_days(SystemClock().wall_ms(), days))
    _write(directory, CA_STEM, pair)
    _tell(directory, CA_STEM, f"spiffe://{domain}")


@app.command("issue")
def issue_certificate(
    role: Annotated[Role, typer.Option(help="What the holder is to the operator.")],
    name: Annotated[str, typer.Option(help="The zone (agent, instance) or the tenant; none for a control plane.")] = "",
    host: Annotated[list[str] | None, typer.Option(help="DNS name or IP address; repeat. localhost is in.")] = None,
    directory: DirOption = Path("tls"),
    out: Annotated[Path | None, typer.Option(help="Folder to write to; default: that of the authority.")] = None,
    days: Annotated[int, typer.Option(min=1, max=825, help="How long it is valid.")] = 90,
) -> None:
    """Issue a certificate and its key: <role>[-<name>].pem and .key."""
    subject = Subject(role, name, tuple(host or ()))
    try:
        authority = KeyPair((directory / "ca.pem").read_bytes(), (directory / "ca.key").read_bytes())
        pair = issue(authority, subject, Validity.of_days(SystemClock().wall_ms(), days))
        identity = spiffe_id(trust_domain_of(x509.load_pem_x509_certificate(authority.cert_pem)), role, name)
    except (OSError, ValueError) as error:
        raise _wrong(str(error)) from error
    stem = f"{role}-{name}" if name else str(role)
    _write(out or directory, stem, pair)
    _tell(out or directory, stem, identity)


def _write(directory: Path, stem: str, pair: KeyPair) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(directory / f"{stem}.key", pair.key_pem)
        write_private(directory / f"{stem}.pem", pair.cert_pem)
    except OSError as error:
        raise _wrong(f"{error.strerror}: {error.filename}; nothing is overwritten") from error


def _tell(directory: Path, stem: str, identity: str) -> None:
    paths = {"cert": str(directory / f"{stem}.pem"), "key": str(directory / f"{stem}.key")}
    typer.echo(json.dumps({"identity": identity, **paths}))


def _wrong(message: str) -> typer.Exit:
    typer.echo(f"error: {message}", err=True)
    return typer.Exit(EXIT_USAGE)
