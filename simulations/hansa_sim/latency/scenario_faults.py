"""What goes wrong in a scenario, and how it is mended: the keys ``faults``, ``recovery`` and ``network.cables``."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from hansa_sim.latency.scenario_words import Country, Milliseconds, Moment, Name, Part, Seconds

Chain = Annotated[list[str], Field(min_length=2)]
Pair = Annotated[list[str], Field(min_length=2, max_length=2)]

TARGETS = ("zone", "operator", "country", "link", "cable", "node")
"""What a fault can be about."""


class CablePart(Part):
    """Links that fall together because they are one cable."""

    name: Name = Field(description="the cable's name, for `faults`")
    links: list[Chain] = Field(
        min_length=1, description="its links: chains of nodes, each a link to the next, such as `[[a, b, c], [b, d]]`"
    )


class FaultPart(Part):
    """Something that falls: once at a time, or again and again by chance. Exactly one of zone to node says what."""

    name: Name | None = Field(
        default=None, description="for the timeline, and its stream of chance; left out: what falls"
    )
    zone: str | None = Field(default=None, description="one zone, as `operator/zone`")
    operator: Name | None = Field(default=None, description="or an operator's zones and network")
    country: Country | None = Field(default=None, description="or the zones and the network in a country")
    link: Pair | None = Field(default=None, description="or a link, by its two nodes")
    cable: Name | None = Field(default=None, description="or all links of a cable")
    node: str | None = Field(default=None, description="or a node with its links and the zones at it")
    parts: Literal["all", "zones", "network"] = Field(
        default="all", description="of an operator, a country or a node: what of it falls"
    )
    at_s: Moment | None = Field(default=None, description="when it falls, counted from the beginning of a replication")
    for_s: Seconds | None = Field(default=None, description="with at_s: for how long; left out: to the end")
    notice_s: Moment = Field(
        default=0.0, description="with at_s: so long before it is known, and users are moved away without a loss"
    )
    mtbf_s: Seconds | None = Field(default=None, description="instead of at_s: mean time that it stays up, exponential")
    mttr_s: Seconds | None = Field(default=None, description="with mtbf_s: mean time that it stays down, exponential")
    each: bool = Field(
        default=False, description="with mtbf_s: each zone and link of it falls by itself, and not all together"
    )

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        given = [name for name in TARGETS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(TARGETS)}; given: {', '.join(given) or 'none'}")
        if self.parts != "all" and given[0] not in ("operator", "country", "node"):
            raise ValueError(f"parts are of an operator, a country or a node; this is a {given[0]}")
        return self

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        scheduled, random = self.at_s is not None, self.mtbf_s is not None
        if scheduled == random:
            raise ValueError("give at_s, or mtbf_s and mttr_s, one of the two")
        if random != (self.mttr_s is not None):
            raise ValueError("mtbf_s and mttr_s come together")
        wrong = {"mtbf_s": ("for_s", "notice_s"), "at_s": ("each",)}["mtbf_s" if random else "at_s"]
        for name in wrong:
            if name in self.model_fields_set:
                raise ValueError(f"{name} does not go with {'mtbf_s' if random else 'at_s'}")
        return self

    @property
    def target(self) -> str:
        """Which of ``TARGETS`` it is about."""
        return next(name for name in TARGETS if getattr(self, name) is not None)

    @property
    def title(self) -> str:
        """Its name, or what falls, for people and for its stream of chance."""
        value = getattr(self, self.target)
        return self.name or f"{self.target} {'--'.join(value) if isinstance(value, list) else value}"


class RecoveryPart(Part):
    """What users and control planes do when something has fallen."""

    detect_s: Moment = Field(
        default=4.0,
        description="how long until routers and the control plane know; the control plane's `lost_after_ms`",
    )
    replace_s: Moment = Field(
        default=1.0, description="how long from knowing until new places serve; the control plane's goal"
    )
    fail_back_s: Moment = Field(
        default=60.0, description="`hansa`: how long after it is mended until it is asked whether to go back"
    )
    retries: int = Field(default=2, ge=0, le=100, description="how often users send a request again that was lost")
    backoff_ms: Annotated[float, Field(ge=0, le=3_600_000, allow_inf_nan=False)] = Field(
        default=100.0, description="their pause before they do"
    )
    timeout_ms: Milliseconds = Field(
        default=1_000.0, description="how long they wait for an answer that is lost on the way"
    )
