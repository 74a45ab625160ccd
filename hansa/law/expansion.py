"""Presets: policies with a name, a version, sources, and words on what they stand for and what they do not promise.

A preset is expanded as of a day into an explicit policy, with every country written out, and a mark of what it came
from: ``gdpr-eea@2026-11-22 sha256:...``. The day can be expanded again; the digest is over the preset's file and those
of the groups that it names (see ``data_files.joint_digest``), so that an auditor sees whether the data were the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache

from hansa.errors import HansaError, invalid_field
from hansa.law.data_files import DataFile, Source, data_files, joint_digest, read_day, read_sources
from hansa.law.membership import CountryGroup, GroupsOn, country_group, law_names
from hansa.names import hint
from hansa.policy_file import PolicyReader, parse_preset, preset_fault
from hansa.v1 import residency_pb2
from hansa.yaml_tree import YamlValue


@dataclass(frozen=True, slots=True)
class Preset:
    """One version of a preset, in force from the day ``version`` until a newer one is."""

    name: str
    version: date
    title: str
    stands_for: str
    promises_not: tuple[str, ...]
    sources: tuple[Source, ...]
    rules: YamlValue
    path: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a preset says on a day: the explicit policy, and the groups that it was expanded from."""

    preset: Preset
    as_of: date
    policy: residency_pb2.ResidencyPolicy
    groups: tuple[CountryGroup, ...]
    digest: str

    @property
    def provenance(self) -> str:
        return f"{self.preset.name}@{self.as_of} sha256:{self.digest}"

    def notes(self, today: date) -> tuple[str, ...]:
        """What somebody should look at, on a day."""
        return tuple(note for group in self.groups if (note := group.overdue_note(today)))


class _GroupsUsed(GroupsOn):
    """The groups of one day, remembering which were asked for."""

    def __init__(self, as_of: date) -> None:
        super().__init__(as_of)
        self.used: set[str] = set()

    def members(self, name: str) -> frozenset[str]:
        self.used.add(name)
        return super().members(name)


@cache
def load_presets() -> dict[str, tuple[Preset, ...]]:
    """Every version of every preset, by name, the newest last. The data are part of the package."""
    found: dict[str, tuple[Preset, ...]] = {}
    for preset in sorted(map(_preset, data_files("presets")), key=lambda preset: (preset.name, preset.version)):
        found[preset.name] = (*found.get(preset.name, ()), preset)
    return found


def expand(name_or_dated: str, as_of: date) -> residency_pb2.ResidencyPolicy:
    """The explicit policy of ``name`` as of a day, or of ``name@day`` as of that day, which may not be after ``as_of``.

    ``presets`` of it holds where it came from; on_change is unset where the preset leaves it to others. Raises
    HansaError NOT_FOUND (with the nearest name) or INVALID_FIELD.
    """
    return expansion(name_or_dated, as_of).policy


def expansion(name_or_dated: str, as_of: date) -> Expansion:
    """The same with the preset, the groups and the digest."""
    name, day = _name_and_day(name_or_dated, as_of)
    preset = _in_force(name, day)
    groups = _GroupsUsed(day)
    policy = PolicyReader(groups, law_names()).read_rules(preset.rules)
    used = tuple(country_group(group) for group in sorted(groups.used))
    digest = joint_digest([(preset.path, preset.sha256), *((group.path, group.sha256) for group in used)])
    found = Expansion(preset, day, policy, used, digest)
    policy.presets.append(found.provenance)
    return found


def expand_policy(
    policy: residency_pb2.ResidencyPolicy, as_of: date, *, path: str = "residency"
) -> list[residency_pb2.ResidencyPolicy]:
    """What a request demands, explicitly: its own part without presets, then one policy for each preset, in order.

    All of them hold together: whoever calls merges them. A preset that leaves on_change to others gets the weakest,
    KEEP_AND_ALERT, so that the request's own decides under "the strictest wins". ``path`` names the policy in errors.
    """
    own = residency_pb2.ResidencyPolicy()
    own.CopyFrom(policy)
    del own.presets[:]
    return [own, *(_for_merging(name, as_of, f"{path}.presets[{i}]") for i, name in enumerate(policy.presets))]


def _for_merging(name: str, as_of: date, path: str) -> residency_pb2.ResidencyPolicy:
    try:
        policy = expand(name, as_of)
    except HansaError as error:
        raise invalid_field(path, error.message) from error
    policy.on_change = policy.on_change or residency_pb2.ON_CHANGE_KEEP_AND_ALERT
    return policy


def _name_and_day(name_or_dated: str, as_of: date) -> tuple[str, date]:
    parsed = parse_preset(name_or_dated)
    if parsed is None:
        raise invalid_field("preset", preset_fault(name_or_dated))
    name, day = parsed
    if day and day > as_of:
        raise invalid_field(
            "preset", f"{name}@{day} lies after {as_of}: what the law will be is not known; take {name}"
        )
    return name, day or as_of


def _in_force(name: str, day: date) -> Preset:
    versions = load_presets().get(name)
    if not versions:
        raise HansaError("NOT_FOUND", f"there is no preset {name!r}{hint(name, load_presets())}", field="preset")
    past = [preset for preset in versions if preset.version <= day]
    if not past:
        first = versions[0].version
        raise invalid_field("preset", f"{name} has no version as of {day}; the first is {name}@{first}")
    return past[-1]


def _preset(file: DataFile) -> Preset:
    keys = ("kind", "name", "version", "title", "stands_for", "promises_not", "sources", "policy")
    parts = file.document.mapping(keys)
    parts["kind"].one_of(("Preset",))
    preset = Preset(
        name=parts["name"].text(),
        version=read_day(parts["version"]),
        title=parts["title"].text(),
        stands_for=parts["stands_for"].text(),
        promises_not=tuple(_sentences(parts["promises_not"])),
        sources=read_sources(parts["sources"]),
        rules=parts["policy"],
        path=file.path,
        sha256=file.sha256,
    )
    if file.path != f"presets/{preset.name}@{preset.version}.yaml":
        raise file.document.error(f"must stand in presets/{preset.name}@{preset.version}.yaml")
    return preset


def _sentences(value: YamlValue) -> Iterable[str]:
    for entry in value.items():
        yield entry.text()
