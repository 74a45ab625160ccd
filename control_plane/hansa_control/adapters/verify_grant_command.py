"""``hansa verify-grant``: says whether another operator signed a grant, and whether it is what was asked. No server.

Exit codes: 0 all verify, 1 some do not, 255 the file or the authority cannot be read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from cryptography import x509

from hansa.cli.documents import Document, Styled, Table, line
from hansa.cli.figures import plural, timestamp
from hansa.cli.options import OutputFormat
from hansa.cli.output import formatted
from hansa.cli.session import new_screen
from hansa.errors import said
from hansa_control.adapters.authority import trust_domain_of
from hansa_control.adapters.identity import PeerVerifier, TrustedDomain
from hansa_control.adapters.record_codec import RecordInvalid, decode
from hansa_control.adapters.seals import SealVerifier
from hansa_control.application.ports import SealBroken, StoredGrant
from hansa_control.application.ports import Table as RecordTable
from hansa_control.domain.grants import Asked, asked_below, signed_bytes, unfit, unfounded
from hansa_control.domain.seals import Seal

EXIT_VERIFIED, EXIT_WRONG, EXIT_UNREADABLE = 0, 1, 255
BYTES_MAX = 64 * 1024 * 1024

app = typer.Typer(help="Check signed grants of another operator.")


class Checked(NamedTuple):
    """A grant, and all that is wrong with it."""

    grant: StoredGrant
    wrong: tuple[str, ...]


@app.command("verify-grant")
def verify_grant(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Grants: why with --grants wrote them.")],
    authority: Annotated[
        list[str], typer.Option(metavar="OPERATOR=PEM", help="An owner and its certificate authority; repeat.")
    ],
    output: Annotated[OutputFormat, typer.Option("--output", "-o", help="How to write the answer.")] = (
        OutputFormat.TABLE
    ),
) -> None:
    """Check signed grants of another operator: its signature, and that each is the answer to what was asked.

    The certificate must have been valid when the grant was signed; it may have expired since. Exits 0 (all verify),
    1 (some do not) or 255 (unreadable).
    """
    try:
        grants = _grants_in(file)
        trusted = [_trusted(given) for given in authority]
    except (OSError, ValueError) as error:
        typer.echo(f"error: {said(error)}", err=True)
        raise typer.Exit(EXIT_UNREADABLE) from error
    checked = [Checked(grant, _wrong(grant, trusted)) for grant in grants]
    if output.for_programs:
        typer.echo(formatted(_data(checked), output))
    else:
        new_screen(output).show(_document(checked))
    raise typer.Exit(EXIT_WRONG if any(one.wrong for one in checked) else EXIT_VERIFIED)


def _grants_in(file: Path) -> list[StoredGrant]:
    """The grants of a file; ValueError if it holds none or something else."""
    body = file.read_bytes()
    if len(body) > BYTES_MAX:
        raise ValueError(f"{file}: larger than {BYTES_MAX} bytes")
    try:
        documents = json.loads(body)
        if not isinstance(documents, list) or not documents:
            raise ValueError("holds no grants")
        read = [decode(RecordTable.GRANT, json.dumps(document).encode()) for document in documents]
    except (ValueError, RecordInvalid, RecursionError) as error:
        raise ValueError(f"{file}: {error}") from error
    return [grant for grant in read if isinstance(grant, StoredGrant)]


def _trusted(given: str) -> TrustedDomain:
    """An operator with its authority, of "operator=file"; ValueError or OSError."""
    operator, equals, path = given.partition("=")
    if not operator or not equals:
        raise ValueError(f"--authority: {given!r} is not OPERATOR=PEM")
    ca_pem = Path(path).read_bytes()
    try:
        authority = x509.load_pem_x509_certificates(ca_pem)[0]
    except ValueError as error:
        raise ValueError(f"{path}: holds no certificate in PEM") from error
    return TrustedDomain(operator, trust_domain_of(authority), ca_pem)


def _wrong(grant: StoredGrant, trusted: Sequence[TrustedDomain]) -> tuple[str, ...]:
    """What is wrong with a grant, and with those that it rests on: judged by itself, by what was asked, and by the
    authority of its owner.
    """
    terms = grant.seal.terms
    asked = Asked(terms.owner, terms.home, terms.context_id, terms.claim, terms.zone, grant.spec, grant.lease_asked_ms)
    found = _wrong_seal(asked, grant.seal, trusted)
    count = len(grant.origin.handlers) if grant.origin is not None else 0
    if len(grant.underlying) != count:
        rests_on = plural(len(grant.underlying), "grant")
        return (*found, f"it rests on {rests_on}, and the zone goes through {plural(count, 'hand')}")
    if grant.origin is not None:
        asked_of_others = asked_below(asked, grant.seal, grant.underlying, grant.origin)
        for below, seal in zip(asked_of_others, grant.underlying, strict=True):
            found += [f"grant of {below.owner} to {below.home}: {one}" for one in _wrong_seal(below, seal, trusted)]
    return (*found, *map(str, unfounded((grant.seal, *grant.underlying))))


def _wrong_seal(asked: Asked, seal: Seal, trusted: Sequence[TrustedDomain]) -> list[str]:
    found = [str(one) for one in unfit(asked, seal)]
    verifier = SealVerifier(PeerVerifier([one for one in trusted if one.operator == asked.owner]))
    try:
        verifier.check(asked.owner, signed_bytes(seal.terms), seal.signed, seal.terms.granted_at_ms)
    except SealBroken as broken:
        found.append(str(broken))
    return found


def _data(checked: Sequence[Checked]) -> dict[str, object]:
    return {
        "verified": not any(one.wrong for one in checked),
        "grants": [
            {
                "claim": grant.seal.terms.claim,
                "workload": grant.workload,
                "owner": grant.seal.terms.owner,
                "home": grant.seal.terms.home,
                "zone": grant.seal.terms.zone,
                "fencing_token": grant.seal.terms.fencing_token,
                "granted_at_ms": grant.seal.terms.granted_at_ms,
                "policy_applied_digest": grant.seal.terms.policy_applied_digest,
                "owner_demands_more": grant.seal.policy_applied is not None,
                "wrong": list(wrong),
            }
            for grant, wrong in checked
        ],
    }


def _document(checked: Sequence[Checked]) -> Document:
    bad = sum(bool(one.wrong) for one in checked)
    verdict = Styled("DOES NOT VERIFY", "bold red") if bad else Styled("VERIFIED", "bold green")
    told = f": {bad} of {plural(len(checked), 'grant')}" if bad else f": {plural(len(checked), 'grant')}"
    rows = tuple(
        (
            f"{terms.owner}/{terms.zone}",
            terms.home,
            timestamp(terms.granted_at_ms),
            terms.claim,
            "; ".join(wrong) or "signed as asked",
        )
        for terms, wrong in ((one.grant.seal.terms, one.wrong) for one in checked)
    )
    table = Table(("ZONE", "FOR", "SIGNED", "CLAIM", "FOUND"), rows, fixed=frozenset())
    return [line(verdict, f"{told}"), table]
