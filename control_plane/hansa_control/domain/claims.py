"""Facts of one kind by their standing at one time, and how such claims are put to a test.

What nobody claims, or claims without proof, is unknown; what was proved for another time is expired; both reject, under
different reasons. Two ways of asking are kept apart. A claim about what *is* (a country, a share, a law) is tested as a
whole: every claim that is made must hold, and one that has run out and is not restated by a valid one rejects too, so
that nobody sheds an unwelcome fact by letting its evidence lapse. A *proof* that is asked for (a clearance, a
technology, a certificate) is looked up: one valid proof is enough, and proofs that nobody asked for say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import NamedTuple

from hansa_control.domain.findings import Finding, finding
from hansa_control.domain.model import Fact, FactKind, Reason
from hansa_control.domain.units import format_utc_date


class Claims(NamedTuple):
    """The facts of one kind by their standing at one time, each part sorted by value, then issuer."""

    valid: tuple[Fact, ...]
    expired: tuple[Fact, ...]
    unproved: tuple[Fact, ...]

    def values(self) -> list[str]:
        """The values that are proved now, each once, sorted."""
        return sorted({fact.value for fact in self.valid})


def claims_of(facts: tuple[Fact, ...], kind: FactKind, now_ms: int) -> Claims:
    """Facts of a kind by standing. One that has lapsed is left out where a valid fact restates it in full."""
    mine = sorted((fact for fact in facts if fact.kind is kind), key=_order)
    valid = tuple(fact for fact in mine if fact.evidence.is_valid(now_ms))
    restated = {(fact.value, fact.version, fact.level) for fact in valid}
    rest = [fact for fact in mine if (fact.value, fact.version, fact.level) not in restated]
    expired = tuple(fact for fact in rest if _has_validity(fact))
    return Claims(valid, expired, tuple(fact for fact in rest if not _has_validity(fact)))


def _order(fact: Fact) -> tuple[str, str, str, str]:
    return fact.value, fact.version, fact.level, fact.evidence.issuer


def _has_validity(fact: Fact) -> bool:
    return fact.evidence.valid_from_ms > 0 and fact.evidence.valid_until_ms > 0


def label(value: str) -> str:
    """A name of a law, clearance, technology or scheme in the form in which names are compared: capitals, trimmed."""
    return value.strip().upper()


def describe_evidence(fact: Fact) -> str:
    """The proof of a fact for people: issuer, scheme and until when it holds."""
    proof = fact.evidence
    until = _date(proof.valid_until_ms) if proof.valid_until_ms > 0 else "unknown"
    return f"{proof.kind.value.lower()} by {proof.issuer or 'unknown'} ({proof.scheme}), valid until {until}"


@lru_cache(maxsize=4_096)
def _date(epoch_ms: int) -> str:
    # Facts of many zones end on few days, and a date costs more than all else that is said of a fact.
    return format_utc_date(epoch_ms)


def named(fact: Fact) -> str:
    """What a fact claims, for people: ``NO``, ``ISO-27001 2022 high``."""
    return " ".join(part for part in (fact.value, fact.version, fact.level) if part)


def _names(facts: tuple[Fact, ...]) -> str:
    return ", ".join(sorted({named(fact) for fact in facts}))


class Tester(NamedTuple):
    """How the facts of one kind are tested: under which constraint and reasons, and in which words."""

    constraint: str
    title: str
    bound: str
    denied: Reason
    unknown: Reason

    def found(self, reason: Reason | None, measured: str, facts: tuple[Fact, ...]) -> Finding:
        """A finding on this subject, with the evidence of the facts that it rests on."""
        evidence = "; ".join(describe_evidence(fact) for fact in facts) or f"no fact on {self.title}"
        return finding(reason, self.constraint, f"{self.title} {measured}", self.bound, evidence)

    def test(
        self,
        claims: Claims,
        is_allowed: Callable[[str], bool],
        *,
        single: bool,
        read: Callable[[str], Hashable | None] = lambda value: value,
    ) -> tuple[Finding, ...]:
        """All reasons for which the claims fail; one passing finding if there is none.

        single: one value at most, so that two valid ones contradict each other. read gives a value's meaning, None
        where it has none; is_allowed is asked of values that have one.
        """
        found = self.lapsed(claims)
        unreadable = tuple(fact for fact in claims.valid if read(fact.value) is None)
        wrong = tuple(fact for fact in claims.valid if read(fact.value) is not None and not is_allowed(fact.value))
        if wrong:
            found.append(self.found(self.denied, _names(wrong), wrong))
        if unreadable:
            found.append(self.found(self.unknown, f"{_names(unreadable)}, not a number", unreadable))
        if single and len({read(fact.value) for fact in claims.valid}) > 1:
            found.append(self.contradiction(claims))
        if not any(claims):
            found.append(self.found(self.unknown, "unknown", ()))
        return tuple(found) or (self.found(None, ", ".join(claims.values()), claims.valid),)

    def contradiction(self, claims: Claims) -> Finding:
        """The refusal of valid claims that cannot all be true."""
        return self.found(self.unknown, "contradicting: " + ", ".join(claims.values()), claims.valid)

    def lapsed(self, claims: Claims) -> list[Finding]:
        """The refusals for claims whose evidence does not hold now: expired, and without validity."""
        return [
            self.found(reason, f"{_names(facts)}, {words}", facts)
            for reason, words, facts in (
                (Reason.FACT_EXPIRED, "not valid now", claims.expired),
                (self.unknown, "without validity", claims.unproved),
            )
            if facts
        ]

    def prove(self, claims: Claims, fits: Callable[[Fact], bool]) -> tuple[Finding, ...]:
        """Whether one valid proof fits; else why not: those that fit have lapsed, or there is none, with what there is.

        FACT_EXPIRED where a proof that fits is not valid now, ``unknown`` where one has no validity at all, and
        ``denied``, which stands for "missing" here, where none fits.
        """
        for proof in claims.valid:
            if fits(proof):
                return (self.found(None, named(proof), (proof,)),)
        fitting = Claims((), *(tuple(fact for fact in part if fits(fact)) for part in claims[1:]))
        there = f"not among {_names(claims.valid)}" if claims.valid else "not proved"
        return tuple(self.lapsed(fitting)) or (self.found(self.denied, there, claims.valid),)
