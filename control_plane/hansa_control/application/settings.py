"""What an operator decides about its control plane; values only, read once by the composition root."""

from __future__ import annotations

from dataclasses import dataclass

from hansa_control.domain.model import Fact


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one operator's control plane. Every duration is in milliseconds.

    known_operators are those whose signatures are believed besides the partners', authority_pems the authorities of
    both by name, PEM; legal_facts those on this operator's
    own legal control, which it signs when it passes on another operator's zone; origin_life_ms is for how long what it
    signs of a chain of origin holds.
    """

    operator: str
    endpoint_ca_pem: bytes = b""
    client_ca_pem: bytes = b""
    partners: frozenset[str] = frozenset()
    known_operators: frozenset[str] = frozenset()
    authority_pems: tuple[tuple[str, bytes], ...] = ()
    legal_facts: tuple[Fact, ...] = ()
    origin_life_ms: int = 3_600_000
    heartbeat_interval_ms: int = 1_000
    quiet_after_ms: int = 2_500
    lost_after_ms: int = 4_000
    hold_lease_ms: int = 10_000
    offer_ttl_ms: int = 6_000
    clock_skew_ms_max: int = 300_000
    tick_ms: int = 250
    law_check_interval_ms: int = 5_000
    sweep_interval_ms: int = 60_000
    retry_ms_min: int = 500
    retry_ms_max: int = 15_000
    failed_zone_pause_ms: int = 60_000
    fail_back_after_ms: int = 60_000
    linger_ms: int = 0
    nomination_ms: int = 60_000
    choices_tried_max: int = 8
    placing_deadline_ms: int = 6_000
    choices_evidenced_max: int = 3
    reconcilers: int = 32
    looks_begun_at_once: int = 4
    adverts_per_zone_max: int = 5_000
    offers_per_partner_max: int = 50_000
    workloads_max: int = 100_000
    requests_kept_max: int = 100_000
    events_kept_max: int = 20_000
    promise_half_life_ms: int = 21_600_000
    grants_kept_max: int = 20_000
    probe_targets_max: int = 64
    places_checked: bool = True
    stray_after_ms: int = 60_000
    start_within_ms: int = 900_000
    usage_delay_ms: int = 1_000
    usage_retry_ms: int = 5_000
    usage_interval_ms: int = 10_000
    usage_strike_interval_ms: int = 3_600_000
    usage_kept_ms: int = 400 * 86_400_000
