"""Constraints as tables of decisions name them, and the reasons with which each may refuse a zone."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

REASONS_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "ZoneState": ("ZONE_CORDONED", "ZONE_LOST", "OFFER_STALE"),
        "SiteResidency": ("SITE_COUNTRY_DENIED", "SITE_COUNTRY_UNKNOWN", "FACT_EXPIRED"),
        "LegalControl": ("LEGAL_CONTROL_DENIED", "LEGAL_CONTROL_UNKNOWN", "FACT_EXPIRED"),
        "Personnel": ("PERSONNEL_DENIED", "PERSONNEL_UNKNOWN", "FACT_EXPIRED"),
        "Attestation": ("ATTESTATION_MISSING", "FACT_EXPIRED"),
        "Certification": ("CERTIFICATION_MISSING", "FACT_EXPIRED"),
        "Energy": ("ENERGY_DENIED", "ENERGY_UNKNOWN", "FACT_EXPIRED"),
        "Predicate": ("PREDICATE_FALSE", "PREDICATE_FAILED"),
        "Location": ("LOCATION_IMPLAUSIBLE", "SITE_COUNTRY_UNKNOWN"),
        "AccessPointKnown": ("ACCESS_POINT_UNKNOWN",),
        "TransitResidency": ("TRANSIT_DENIED", "TRANSIT_UNKNOWN"),
        "Bandwidth": ("BANDWIDTH_EXCEEDED",),
        "Reachability": ("UNREACHABLE",),
        "LatencyBound": ("LATENCY_EXCEEDED", "NOT_EVALUATED"),
        "ArtefactAllowed": ("ARTEFACT_NOT_ALLOWED",),
        "SiteConsent": ("TENANT_REFUSED", "TENANT_UNKNOWN", "DATA_REFUSED", "TIME_REFUSED"),
        "ServiceTimeKnown": ("SERVICE_TIME_UNKNOWN",),
        "QueueStability": ("UNSTABLE",),
        "ResponseBound": ("LATENCY_EXCEEDED",),
        "GpuModel": ("GPU_MODEL_MISSING",),
        "GpuMemory": ("GPU_MEMORY_TOO_SMALL", "NOT_EVALUATED"),
        "GpuCapacity": ("GPU_EXHAUSTED", "NOT_EVALUATED"),
        "CpuCapacity": ("CPU_EXHAUSTED",),
        "MemoryCapacity": ("MEMORY_EXHAUSTED",),
        "PriceBound": ("PRICE_EXCEEDED",),
        "OwnerConsent": ("OWNER_REFUSED", "PARTNER_UNREACHABLE", "FEDERATION_INACTIVE", "QUOTA_EXCEEDED"),
        "BetterTier": ("NOT_EVALUATED",),
        "PolicyHolds": ("NOT_EVALUATED",),
        "ZonePaused": ("INSTANCE_FAILED",),
    }
)
"""By constraint, the likeliest reason first."""


def canonical_constraint(text: str) -> str:
    """A constraint as people type it (site-residency, SITERESIDENCY) as tables show it; empty if there is none."""
    return {letters(name): name for name in REASONS_OF}.get(letters(text), "")


def letters(text: str) -> str:
    """What is left of a name without case and what parts its words, to compare names by."""
    return "".join(char for char in text.casefold() if char.isalnum())
