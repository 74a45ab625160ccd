"""Which zones a selector picks, for preferences and wishes: by operator, proved site country, zone, CEL predicate.

A selector that cannot be evaluated for a zone does not pick it.
"""

from __future__ import annotations

import numpy as np

from hansa_control.domain.claim_groups import facts_memo
from hansa_control.domain.claims import claims_of
from hansa_control.domain.filters import Mask, Question
from hansa_control.domain.law_filter import holds
from hansa_control.domain.model import FactKind, Selector, Zone


def picked(question: Question, selector: Selector) -> Mask:
    """The zones that a selector picks, by row; kept for as long as what is known of them stays."""
    kept = facts_memo(question)
    known: Mask | None = kept.get(selector)
    if known is None:
        zones, now_ms = question.columns.standing.zones, question.now_ms
        known = np.array([_picks(selector, zone, now_ms) for zone in zones], dtype=np.bool_)
        if selector.predicate:
            known = known & holds(question, selector.predicate)
        kept.keep(selector, known)
    return known


def _picks(selector: Selector, zone: Zone, now_ms: int) -> bool:
    if selector.operators and zone.id.operator not in selector.operators:
        return False
    if selector.zones and zone.id not in selector.zones:
        return False
    return not selector.countries or _stands_in(selector.countries, zone, now_ms)


def _stands_in(countries: frozenset[str], zone: Zone, now_ms: int) -> bool:
    proved = claims_of(zone.facts, FactKind.SITE_COUNTRY, now_ms).values()
    return bool(proved) and set(proved) <= countries
