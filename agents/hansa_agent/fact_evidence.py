"""Facts with their evidence: what the configuration and the document say, made one; and how long that still holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hansa_agent.config_sections import EvidenceSection, FactSection
from hansa_agent.evidence_file import Document, EvidenceUnreadable, read_document

DAY_MS = 86_400_000
WARN_DAYS = (30, 7, 1)


def completed(sections: Sequence[FactSection], folder: Path) -> tuple[list[FactSection], list[str]]:
    """The facts, each with all that its document says, and what is wrong, one line a problem with its field."""
    facts: list[FactSection] = []
    problems: list[str] = []
    for number, section in enumerate(sections):
        evidence = section.evidence
        if evidence.file is None:
            facts.append(section)
            continue
        where = f"facts.{number}.evidence"
        try:
            document = read_document(folder / evidence.file)
        except EvidenceUnreadable as error:
            problems.append(f"{where}.file: {error}")
            continue
        problems += [f"{where}.{problem}" for problem in _differences(evidence, document)]
        facts.append(section.model_copy(update={"evidence": _merged(evidence, document)}))
    return facts, problems


def valid_until_ms(section: FactSection) -> int:
    """When a fact ends, milliseconds since the Unix epoch; 0 if that is not known."""
    until = section.evidence.valid_until
    return 0 if until is None else int(until.timestamp() * 1_000)


class ExpiryWatch:
    """Says what is to be told a person about facts that are going to end, each warning once."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str, int], int] = {}

    def due(self, facts: Sequence[FactSection], now_ms: int) -> list[tuple[FactSection, int]]:
        """Facts to be warned of, with the days that are left of them, rounded up; 0 if they have ended."""
        found = []
        for fact in facts:
            ends_ms = valid_until_ms(fact)
            days_left = max(0, -(-(ends_ms - now_ms) // DAY_MS))
            threshold = min((days for days in (*WARN_DAYS, 0) if days_left <= days), default=None)
            key = (fact.kind, fact.value, ends_ms)
            if threshold is not None and self._told.get(key, threshold + 1) > threshold:
                self._told[key] = threshold
                found.append((fact, days_left))
        return found

    @staticmethod
    def next_ms(facts: Sequence[FactSection], now_ms: int, longest_ms: int) -> int:
        """Milliseconds until the next fact ends, but no more than ``longest_ms``."""
        ahead = [valid_until_ms(fact) - now_ms for fact in facts if valid_until_ms(fact) > now_ms]
        return max(1, min([longest_ms, *ahead]))


def _differences(evidence: EvidenceSection, document: Document) -> list[str]:
    """Where the configuration says something else than the document, or neither says anything."""
    problems = []
    if evidence.digest not in ("", document.digest):
        problems.append(f"digest: the file has {document.digest}, not {evidence.digest}")
    if document.issuer and evidence.issuer not in ("", document.issuer):
        problems.append(f"issuer: the file says {document.issuer!r}, not {evidence.issuer!r}")
    if not (evidence.issuer or document.issuer):
        problems.append("issuer: the file does not say it; write it down")
    for name in ("valid_from", "valid_until"):
        written, said = getattr(evidence, name), getattr(document, name)
        if written is not None and said is not None and not _same(written, said):
            problems.append(f"{name}: the file says {said:%Y-%m-%dT%H:%M:%SZ}, not {written.isoformat()}")
        if written is None and said is None:
            problems.append(f"{name}: the file does not say it; write it down")
    return problems


def _same(one: datetime, other: datetime) -> bool:
    return int(one.timestamp()) == int(other.timestamp())


def _merged(evidence: EvidenceSection, document: Document) -> EvidenceSection:
    return evidence.model_copy(
        update={
            "digest": document.digest,
            "issuer": document.issuer or evidence.issuer,
            "valid_from": document.valid_from or evidence.valid_from,
            "valid_until": document.valid_until or evidence.valid_until,
        }
    )
