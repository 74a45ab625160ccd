"""The section on what those who keep the machines refuse. ``agent.example.yaml`` explains it."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, field_validator, model_validator

from hansa.v1.common_pb2 import DataClass
from hansa_agent.config_sections import Section

TENANT = r"^(\*|[a-z0-9][a-z0-9-]{0,62}/(\*|[a-z0-9][a-z0-9-]{0,62}))$"
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
SPANS_MAX = 64
"""As many as an operator takes (``SiteRefusals.times``); an inventory with more would be refused as a whole."""
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_DAYS: tuple[Day, ...] = get_args(Day)
_DATA = tuple(name.removeprefix("DATA_CLASS_").lower() for name in DataClass.keys()[1:])

Tenant = Annotated[str, Field(pattern=TENANT)]


class TenantsSection(Section):
    """Who is taken: everybody who is allowed, if anybody is named, and not denied."""

    allow: list[Tenant] = Field(default=[], max_length=1_000)
    deny: list[Tenant] = Field(default=[], max_length=1_000)

    @field_validator("allow")
    @classmethod
    def _says_whom(cls, allow: list[Tenant]) -> list[Tenant]:
        if not allow:
            raise ValueError("'allow' is empty; leave it out for everybody, or deny \"*\" for nobody")
        return allow


class DataClassesSection(Section):
    """Kinds of data that no workload may bring."""

    deny: list[str] = Field(default=[])

    @field_validator("deny")
    @classmethod
    def _are_known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in _DATA:
                raise ValueError(f"{name!r} is no kind of data; one of {', '.join(_DATA)}")
        return sorted(set(names))


class TimeSection(Section):
    """A time of the week, UTC, in which nothing new is started; one that ends before it begins ends the next day."""

    days: list[Day] = Field(default=list(_DAYS))
    begin: str = Field(alias="from", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")
    end: str = Field(alias="to", pattern=r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")

    @field_validator("begin", "end", mode="before")
    @classmethod
    def _is_quoted(cls, told: object) -> object:
        if isinstance(told, int):
            raise ValueError("a time of day is to be in quotes: YAML takes 22:00 for the number 1320")
        return told

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if _minute(self.begin) == _minute(self.end):
            raise ValueError("'from' and 'to' are the same; a whole day is 00:00 to 24:00")
        if not self.days:
            raise ValueError("'days' is empty; leave it out for every day")
        return self

    def spans(self) -> list[tuple[int, int]]:
        """[from, until) in minutes since Monday 00:00; two where it goes over the end of the week."""
        begin, end = _minute(self.begin), _minute(self.end)
        length = end - begin if end > begin else end - begin + DAY_MINUTES
        found = []
        for day in self.days:
            first = _DAYS.index(day) * DAY_MINUTES + begin
            found.append((first, min(first + length, WEEK_MINUTES)))
            if first + length > WEEK_MINUTES:
                found.append((0, first + length - WEEK_MINUTES))
        return found


class RefusalsSection(Section):
    """What is never started here, whoever asks. What runs is not touched by it."""

    tenants: TenantsSection = Field(default_factory=TenantsSection)
    data_classes: DataClassesSection = Field(default_factory=DataClassesSection)
    times: list[TimeSection] = Field(default=[], max_length=32)

    @model_validator(mode="after")
    def _can_be_told(self) -> Self:
        if (count := len(self.spans())) > SPANS_MAX:
            raise ValueError(f"times are {count} spells a week; at most {SPANS_MAX} can be told")
        return self

    def spans(self) -> list[tuple[int, int]]:
        """All times as [from, until) in minutes since Monday 00:00, in order; what overlaps or meets is one."""
        found: list[tuple[int, int]] = []
        for begin, end in sorted(span for time in self.times for span in time.spans()):
            if found and begin <= found[-1][1]:
                found[-1] = found[-1][0], max(found[-1][1], end)
            else:
                found.append((begin, end))
        return found


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
