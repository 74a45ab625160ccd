"""Whose law applies: the app team's policy, the tenant's, the nation's and the zone owner's, merged into one.

What is sent to a partner, decided on and recorded is the merged policy, explicit and in full. Presets are expanded as
of the day on which the question is asked, unless they name a day themselves, so a decision that is withdrawn counts
from that day on; what cannot be expanded any more allows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from hansa_control.application.ports import Clock, RefusalError
from hansa_control.domain.merging import merge
from hansa_control.domain.model import Reason, ResidencyPolicy, SiteRule, WorkloadSpec
from hansa_control.domain.overlay import Overlay

POLICIES_KEPT_MAX = 10_000
PREDICATES_MAX, PREDICATE_CHARACTERS_MAX = 16, 2_000
"""Of one request, with its preferences and what it supposes: two thousand characters cost about a millisecond a zone
that is like no other."""
NOTHING_ALLOWED = ResidencyPolicy(site=SiteRule(frozenset()))


class PresetUnknown(ValueError):
    """There is no such preset, or none for that day."""


@dataclass(frozen=True, slots=True)
class LawBook:
    """What an operator demands beyond what app teams ask: for its nation, by tenant, and as owner of its zones."""

    nation: ResidencyPolicy | None = None
    tenants: Mapping[str, ResidencyPolicy] = field(default_factory=lambda: MappingProxyType({}))
    owner: ResidencyPolicy | None = None


class LawSource(Protocol):
    """Where law comes from."""

    def version(self, now_ms: int) -> Hashable:
        """Changes when the book, or what presets stand for, may have changed; now_ms is wall clock, UTC."""
        ...

    def book(self, now_ms: int) -> LawBook:
        """The operator's own demands."""
        ...

    def expand(self, preset: str, now_ms: int) -> ResidencyPolicy:
        """The explicit policy of "name" as of now, or of "name@day". PresetUnknown."""
        ...


class NoLaw:
    """No demands of the operator's own and no presets."""

    def version(self, now_ms: int) -> Hashable:
        return 0

    def book(self, now_ms: int) -> LawBook:
        return LawBook()

    def expand(self, preset: str, now_ms: int) -> ResidencyPolicy:
        raise PresetUnknown(f"{preset!r}: this control plane has no presets")


def _check_predicates(spec: WorkloadSpec, supposed: ResidencyPolicy | None = None) -> None:
    """Refuses more than may be judged for one request, wherever they stand: each costs the same for every zone.

    The refusal names the part that is one too many.
    """
    tiers, wishes = spec.preferences.ordered, [wish.selector for wish in spec.preferences.soft]
    parts = (
        ("spec.residency.predicates", spec.residency.predicates),
        ("spec.preferences.ordered", [tier.predicate for tier in tiers if tier.predicate]),
        ("spec.preferences.soft", [wish.predicate for wish in wishes if wish.predicate]),
        ("overlay.policy.predicates", supposed.predicates if supposed else ()),
    )
    count = characters = 0
    for field_path, predicates in parts:
        count += len(predicates)
        characters += sum(map(len, predicates))
        if count > PREDICATES_MAX or characters > PREDICATE_CHARACTERS_MAX:
            message = f"{count} predicates with {characters} characters in all; at most {PREDICATES_MAX} with "
            raise RefusalError(
                Reason.LIMIT_EXCEEDED, f"{message}{PREDICATE_CHARACTERS_MAX} are taken of a request", field_path
            )


class LawDesk:
    """Merges policies, and keeps what was merged until the law changes."""

    def __init__(self, source: LawSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._version: Hashable = None
        self._merged: dict[tuple[ResidencyPolicy, str], ResidencyPolicy] = {}
        self._signed: dict[tuple[WorkloadSpec, str], WorkloadSpec] = {}
        self.operator = ""
        self.asks_who: Callable[[], bool] = lambda: False

    def checked(self, spec: WorkloadSpec, tenant: str) -> WorkloadSpec:
        """The request under the law that applies to a tenant's workload. RefusalError INVALID_FIELD on a preset that
        cannot be expanded, LIMIT_EXCEEDED on more predicates than an app team may have judged of every zone.
        """
        _check_predicates(spec)
        try:
            return self._asked_by(tenant, _under(spec, self._effective(spec.residency, tenant)))
        except PresetUnknown as unknown:
            raise self._refusal(unknown, spec.residency, "spec.residency.presets") from unknown

    def _asked_by(self, tenant: str, spec: WorkloadSpec) -> WorkloadSpec:
        """The request with whose it is, where any zone asks; the same object for the same request."""
        if not self.asks_who():
            return spec
        known = self._signed.get((spec, tenant))
        if known is None:
            if len(self._signed) >= POLICIES_KEPT_MAX:
                self._signed = {}
            known = self._signed[spec, tenant] = replace(spec, asker=f"{self.operator}/{tenant}")
        return known

    def supposed(self, overlay: Overlay, spec: WorkloadSpec) -> Overlay:
        """An overlay whose policy is explicit, as it is merged into a request. RefusalError as for ``checked``; what a
        spec and the overlay may have judged of every zone, they have together.
        """
        if overlay.policy is None:
            return overlay
        _check_predicates(spec, overlay.policy)
        try:
            return replace(overlay, policy=merge(self._expanded([overlay.policy], self._clock.wall_ms())))
        except PresetUnknown as unknown:
            raise self._refusal(unknown, overlay.policy, "overlay.policy.presets") from unknown

    def enforced(self, spec: WorkloadSpec, tenant: str) -> WorkloadSpec:
        """The same for a workload that was accepted: a preset that cannot be expanded any more allows nothing."""
        try:
            return self._asked_by(tenant, _under(spec, self._effective(spec.residency, tenant)))
        except PresetUnknown:
            return replace(spec, residency=merge([_explicit(spec.residency), NOTHING_ALLOWED]))

    def version(self) -> Hashable:
        """Another one whenever the law may have changed."""
        return self._source.version(self._clock.wall_ms())

    def authors(self, spec: WorkloadSpec, tenant: str, *, is_own: bool) -> tuple[tuple[str, ResidencyPolicy], ...]:
        """Whose rules apply, in words, each as it stands alone; is_own says that the zone is this operator's."""
        now_ms = self._clock.wall_ms()
        book = self._source.book(now_ms)
        given = (
            ("the workload", spec.residency),
            (f"the contract of {tenant}", book.tenants.get(tenant)),
            ("the nation", book.nation),
            ("the zone's owner", book.owner if is_own else None),
        )
        return tuple((name, self._alone(policy, now_ms)) for name, policy in given if policy is not None)

    def _alone(self, policy: ResidencyPolicy, now_ms: int) -> ResidencyPolicy:
        try:
            return merge(self._expanded([policy], now_ms))
        except PresetUnknown:
            return merge([_explicit(policy), NOTHING_ALLOWED])

    def owned(self, spec: WorkloadSpec) -> WorkloadSpec:
        """A request, perhaps a partner's, under what this operator demands of workloads in its own zones.

        A demand that cannot be expanded allows nothing.
        """
        now_ms = self._clock.wall_ms()
        book = self._source.book(now_ms)
        demanded = _given([book.nation, book.owner])
        if not demanded:
            return spec
        try:
            return replace(spec, residency=merge([spec.residency, *self._expanded(demanded, now_ms)]))
        except PresetUnknown:
            return replace(spec, residency=merge([spec.residency, NOTHING_ALLOWED]))

    def _refusal(self, unknown: PresetUnknown, policy: ResidencyPolicy, path: str) -> RefusalError:
        """Names the preset by its place in the policy, or the list where it is another's that cannot be expanded."""
        unexpandable = (index for index, name in enumerate(policy.presets) if not self._expands(name))
        index = next(unexpandable, None)
        return RefusalError(Reason.INVALID_FIELD, str(unknown), path if index is None else f"{path}[{index}]")

    def _expands(self, preset: str) -> bool:
        try:
            self._source.expand(preset, self._clock.wall_ms())
        except PresetUnknown:
            return False
        return True

    def _effective(self, policy: ResidencyPolicy, tenant: str) -> ResidencyPolicy:
        now_ms = self._clock.wall_ms()
        version = self._source.version(now_ms)
        if version != self._version or len(self._merged) >= POLICIES_KEPT_MAX:
            self._version, self._merged = version, {}
        known = self._merged.get((policy, tenant))
        if known is None:
            known = self._merged[policy, tenant] = self._merge(policy, tenant, now_ms)
        return known

    def _merge(self, policy: ResidencyPolicy, tenant: str, now_ms: int) -> ResidencyPolicy:
        book = self._source.book(now_ms)
        others = _given([book.tenants.get(tenant), book.nation])
        if not others and not policy.presets:
            return policy
        return merge(self._expanded([policy, *others], now_ms))

    def _expanded(self, policies: Sequence[ResidencyPolicy], now_ms: int) -> list[ResidencyPolicy]:
        """Policies without presets, and what each preset of theirs stands for. PresetUnknown."""
        names = [name for policy in policies for name in policy.presets]
        presets = [self._source.expand(name, now_ms) for name in dict.fromkeys(names)]
        return [*(_explicit(policy) for policy in policies), *presets]


def _under(spec: WorkloadSpec, policy: ResidencyPolicy) -> WorkloadSpec:
    """The request under a policy; the very same where that is its own, so that what is known by it is found at once."""
    return spec if policy is spec.residency else replace(spec, residency=policy)


def _explicit(policy: ResidencyPolicy) -> ResidencyPolicy:
    return replace(policy, presets=())


def _given(policies: Sequence[ResidencyPolicy | None]) -> list[ResidencyPolicy]:
    return [policy for policy in policies if policy is not None]
