"""Changes to a scenario from outside of its file: ``users.0.requests_per_s=200`` puts a value at a key.

Steps of a key are separated by dots. An item of a list is named by its number from 0, or by its ``name`` or
``access_point``: ``operators.nordavind.zones.oslo-1.accelerators.count``. A value is YAML, as it would stand in a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml
from pydantic import BaseModel

from hansa.names import hint
from hansa_sim.latency.scenario_schema import Scenario, models_in

NAMING_KEYS = ("name", "access_point")


class ChangeError(ValueError):
    """A change that no scenario of this kind can take."""


@dataclass(frozen=True, slots=True)
class Change:
    """A key and the YAML text to put there."""

    key: str
    text: str

    @classmethod
    def of(cls, assignment: str) -> Change:
        """Reads ``KEY=VALUE``; ChangeError without either."""
        key, sign, text = assignment.partition("=")
        if not sign or not key.strip() or not text.strip():
            raise ChangeError(f"{assignment!r} is not KEY=VALUE, such as run.seed=7")
        return cls(key.strip(), text.strip())

    @property
    def place(self) -> str:
        """As an error names it."""
        return f"--set {self.key}"


@dataclass(frozen=True, slots=True)
class _Spot:
    """A node on the way to a key, the model of the schema that it is or whose list it is, and the words so far."""

    node: yaml.Node
    model: type[BaseModel] | None
    words: str


def put(root: yaml.Node, change: Change, value: yaml.Node) -> None:
    """Puts the value into the document; ChangeError where the schema or the document has no such place."""
    *way, last = change.key.replace("[", ".").replace("]", "").split(".")
    spot = _Spot(root, Scenario, "")
    for step in way:
        spot = _entered(spot, step, value)
    if isinstance(spot.node, yaml.SequenceNode):
        spot.node.value[_index(spot, last)] = value
    else:
        _put_into(_mapping(spot, last), last, value)


def _entered(spot: _Spot, step: str, value: yaml.Node) -> _Spot:
    words = f"{spot.words}.{step}".lstrip(".")
    if isinstance(spot.node, yaml.SequenceNode):
        return _Spot(spot.node.value[_index(spot, step)], spot.model, words)
    mapping = _mapping(spot, step)
    model = _below(spot.model, step)
    found = next((held for key, held in mapping.value if key.value == step), None)
    if found is None:
        if model is None or "list[" in str(spot.model and spot.model.model_fields[step].annotation):
            raise ChangeError(f"the scenario has no {words}")
        found = yaml.MappingNode("tag:yaml.org,2002:map", [], value.start_mark, value.end_mark)
        _put_into(mapping, step, found)
    return _Spot(found, model, words)


def _mapping(spot: _Spot, step: str) -> yaml.MappingNode:
    """The node as a mapping that may have the key."""
    if not isinstance(spot.node, yaml.MappingNode):
        raise ChangeError(f"{spot.words} is one value and has no {step}")
    if spot.model is not None and step not in spot.model.model_fields:
        raise ChangeError(f"unknown key{hint(step, list(spot.model.model_fields))}")
    return spot.node


def _put_into(mapping: yaml.MappingNode, step: str, value: yaml.Node) -> None:
    """The key is new, too, so that errors about it are known to be about the change."""
    key = yaml.ScalarNode("tag:yaml.org,2002:str", step, value.start_mark, value.end_mark)
    places = [at for at, (held, _) in enumerate(mapping.value) if held.value == step]
    if places:
        mapping.value[places[0]] = (key, value)
    else:
        mapping.value.append((key, value))


def _below(model: type[BaseModel] | None, step: str) -> type[BaseModel] | None:
    return None if model is None else next(models_in(model.model_fields[step].annotation), None)


def _index(spot: _Spot, step: str) -> int:
    """The place of an item that is named by number or by name."""
    items: Sequence[yaml.Node] = spot.node.value
    if step.isdecimal() and int(step) < len(items):
        return int(step)
    names = [_name(item) for item in items]
    if step in names:
        return names.index(step)
    raise ChangeError(f"{spot.words} has no {step!r}{hint(step, [name for name in names if name])}")


def _name(item: yaml.Node) -> str:
    if not isinstance(item, yaml.MappingNode):
        return ""
    held = {key.value: value.value for key, value in item.value if isinstance(value, yaml.ScalarNode)}
    return next((str(held[key]) for key in NAMING_KEYS if key in held), "")
