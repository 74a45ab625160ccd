"""Users that move: routes, commuters and traces, as an entry of ``users`` says them."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from hansa_sim.latency.scenario_words import Moment, Part, Percent, Seconds

DAY_S = 86_400.0


class MovePart(Part):
    at_s: Seconds = Field(description="when they come there, counted from the beginning of the route")
    access_point: str = Field(description="the node where their requests come in from then on")


class AwayPart(Part):
    at_s: Moment = Field(description="time of day, counted from the beginning of a replication")
    percent: Percent = Field(description="share of the users that is away then; between two times it goes in a line")


class CommutePart(Part):
    """Users who are here and there, over the day."""

    to: list[str] = Field(min_length=1, description="access points that they go to, in equal parts")
    away: list[AwayPart] = Field(min_length=2, description="how many are there, over the day")
    period_s: Seconds = Field(default=DAY_S, description="length of a day")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        times = [one.at_s for one in self.away]
        if any(later <= sooner for sooner, later in pairwise(times)) or times[-1] >= self.period_s:
            raise ValueError(f"times of away rise, and stay below period_s, {self.period_s:g}")
        return self


class MovingPart(Part):
    """How users of one entry move; those that do not say it stay."""

    moves: list[MovePart] = Field(
        default=[], description="a route: where they are after access_point; all of them together"
    )
    repeat_s: Seconds | None = Field(default=None, description="with moves: the route begins again after so long")
    spread_s: Moment = Field(
        default=0.0, description="with moves: they set out one after the other, evenly over so long"
    )
    commute: CommutePart | None = Field(default=None, description="or: some of them are elsewhere, by the time of day")
    trace: str | None = Field(
        default=None,
        description="or, instead of a place: a CSV file beside the scenario, `time_s,user,access_point`, where each is "
        "from when on; they ask equally often",
    )
    lookup_s: Moment = Field(
        default=60.0, description="users that move ask so often which zone serves them; until then the old one does"
    )

    @property
    def is_moving(self) -> bool:
        """Whether they move at all."""
        return bool(self.moves or self.commute or self.trace)

    @model_validator(mode="after")
    def _one_way_of_moving(self) -> Self:
        given = [name for name in ("moves", "commute", "trace") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"give one of moves, commute and trace; given: {', '.join(given)}")
        if not self.moves and (self.repeat_s is not None or self.spread_s):
            raise ValueError("repeat_s and spread_s are of moves, and there are none")
        times = [move.at_s for move in self.moves]
        if any(later <= sooner for sooner, later in pairwise(times)):
            raise ValueError("times of moves rise")
        if self.repeat_s is not None and self.repeat_s <= times[-1]:
            raise ValueError(f"repeat_s is {self.repeat_s:g}, but the last move is at {times[-1]:g}")
        if not self.is_moving and "lookup_s" in self.model_fields_set:
            raise ValueError("lookup_s is of users that move, and these stay")
        return self
