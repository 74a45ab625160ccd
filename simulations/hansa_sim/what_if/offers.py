"""An agreement that a partner offers, as a file, and the zones that would become usable under it.

    kind: Offer
    operator: waldnetz                                   # who offers
    agreement: {standing: in-force, zones: ["berlin-*"], quotas: [...], prices: {...}}   # as in an agreements file
    zones: [...]                                         # as in an overlay of hansa plan; all of the operator
    nodes: [...]
    links: [...]

The zones are shown, bounded and priced by the code with which the partner's control plane would show them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from hansa_control.adapters.agreement_file import stance_in
from hansa_control.adapters.codec_overlay import overlay_in
from hansa_control.domain import disclosure
from hansa_control.domain.agreement import Stance, Standing
from hansa_control.domain.agreement_life import Seen, follow
from hansa_control.domain.model import Zone
from hansa_control.domain.overlay import Overlay, apply_overlay

from hansa.names import checked_id
from hansa.overlay_file import overlay_of
from hansa.yaml_tree import read_yaml_file
from hansa_sim.what_if.estate import Estate

SHOWN_NOTHING_YET = disclosure.Held({})


def accepted(estate: Estate, path: Path) -> Estate:
    """The estate with the zones of an offered agreement; HansaError, RefusalError or OverlayInvalid on a bad file."""
    document = read_yaml_file(path)
    parts = document.mapping(("kind", "operator", "agreement", "zones"), ("nodes", "links"))
    parts["kind"].one_of(("Offer",))
    operator = checked_id(parts["operator"].text(), "operator")
    day = datetime.fromtimestamp(estate.now_ms / 1_000, UTC).date()
    wire = overlay_of({name: parts[name] for name in ("zones", "nodes", "links") if name in parts}, day)
    offered = overlay_in(wire, "offer")
    for zone in offered.zones:
        if zone.id.operator != operator:
            raise parts["zones"].error(f"{zone.id} is not of {operator}, who offers")
        if zone.id in estate.snapshot.index:
            raise parts["zones"].error(f"{zone.id} is there already")
    stance = stance_in(parts["agreement"], [node.name for node in offered.nodes])
    shown = tuple(one for zone in offered.zones if (one := _shown(stance, zone, estate.now_ms)) is not None)
    if not shown:
        raise parts["agreement"].error("names none of the zones, so nothing would become usable")
    overlay = Overlay(zones=shown, nodes=offered.nodes, links=offered.links)
    snapshot = apply_overlay(estate.snapshot, overlay, estate.snapshot.generation + 1)
    return replace(estate, snapshot=snapshot, agreements={**estate.agreements, operator: stance.agreement})


def _shown(stance: Stance, zone: Zone, now_ms: int) -> Zone | None:
    """A zone as the home operator would see it under the agreement; None if it is not offered."""
    seen = disclosure.shown(stance.agreement, zone, SHOWN_NOTHING_YET, now_ms)
    if seen is None:
        return None
    standing, _ = follow(Standing(), Seen(stance, now_ms, is_used=False))
    return replace(seen, state=disclosure.state_under(standing, seen.state))
