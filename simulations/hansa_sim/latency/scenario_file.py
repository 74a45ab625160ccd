"""Reads a scenario file; what is wrong is said with file, line, key, and the nearest valid one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hansa_control.adapters.codec_residency import policy_in
from hansa_control.adapters.law_source import LawFiles
from hansa_control.adapters.world_record import read_world
from hansa_control.application.lawbook import PresetUnknown
from hansa_control.application.ports import RefusalError
from hansa_control.domain.merging import merge
from hansa_control.domain.model import ResidencyPolicy
from hansa_control.domain.world_record import WorldRecord
from pydantic import BaseModel, ValidationError

from hansa.bounded_file import read_bounded
from hansa.errors import HansaError
from hansa.law.membership import policy_reader
from hansa.names import hint
from hansa.yaml_tree import YamlValue
from hansa_sim.latency.scenario_changes import Change, ChangeError, put
from hansa_sim.latency.scenario_schema import Scenario, models_in
from hansa_sim.latency.scenario_words import number_meant

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE_BYTES_MAX = 16 * 1024 * 1024
WORLD_BYTES_MAX = 256 * 1024 * 1024

Location = tuple[str | int, ...]


class ScenarioError(ValueError):
    """A scenario that cannot be used; one problem a line, each ``FILE:LINE: KEY: what``."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A scenario, the law of each of its apps, and where it stands; files that it names are beside it."""

    scenario: Scenario
    laws: tuple[ResidencyPolicy, ...]
    path: Path
    changes: tuple[Change, ...] = ()
    record: WorldRecord | None = None

    @property
    def residency(self) -> ResidencyPolicy:
        """The law of the one app; ValueError where there are several."""
        (law,) = self.laws
        return law

    @property
    def now_ms(self) -> int:
        """Noon of the scenario's day, UTC, ms since the epoch: the time that facts are read at; where the scenario
        names a snapshot, the moment of that.
        """
        return self.record.taken_at_ms if self.record else noon_ms(self.scenario.as_of)

    def with_run(self, **settings: object) -> Loaded:
        """The same with other settings of its run."""
        run = self.scenario.run.model_copy(update=settings)
        return replace(self, scenario=self.scenario.model_copy(update={"run": run}))

    def problem(self, key: str, what: str) -> ScenarioError:
        """An error about a key of the file, which is looked up there for its line."""
        steps = key.replace("[", ".").replace("]", "").split(".")
        location = tuple(int(step) if step.isdigit() else step for step in steps)
        root = _compose(self.path)
        _change(root, self.changes)
        return ScenarioError([f"{_place_of(self.path, root, location)}: {key}: {what}"])


def noon_ms(day: date) -> int:
    """Noon of a day, UTC, ms since the epoch."""
    return int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1_000)


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, as in YAML 1.2, and days stay as they are written: Norway is NO
    and not ``false``.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own form
        first: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag != "tag:yaml.org,2002:timestamp" and (tag != "tag:yaml.org,2002:bool" or first in "tTfF")
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - PyYAML's form
        """A value; what its tag cannot be, such as ``!!int soon``, is an error with its line, as all others are."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError) as error:  # PyYAML leaves these to its callers
            kind, text = str(node.tag).rpartition(":")[2], str(node.value)[:40]
            raise yaml.constructor.ConstructorError(None, None, f"{text!r} is no {kind}", node.start_mark) from error


def load_scenario(path: Path, changes: Sequence[Change] = ()) -> Loaded:
    """The scenario of a file, with values of some keys changed; ScenarioError with every problem that was found."""
    root = _compose(path)
    doubles = list(_doubles(path, root, set()))
    _change(root, changes)
    if doubles:
        raise ScenarioError(doubles)
    loader = _Loader("")
    try:
        scenario = Scenario.model_validate(loader.construct_document(root))
    except ValidationError as error:
        # A misspelt key also makes the right one missing, so what is unknown comes first.
        found = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
        raise ScenarioError([_problem(path, root, one) for one in found]) from error
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(path, error) from error
    finally:
        loader.dispose()
    loaded = Loaded(
        scenario, tuple(_law(path, root, scenario, app) for app in range(len(scenario.apps))), path, tuple(changes)
    )
    _check_apps(loaded)
    return replace(loaded, record=_record(loaded)) if scenario.network.snapshot is not None else loaded


def check_changes(path: Path, changes: Sequence[Change]) -> None:
    """ScenarioError where one of the changes has no place in the scenario. Whether its value may be is not asked."""
    _change(_compose(path), changes)


def value_of(text: str) -> Any:
    """The value that YAML text stands for in a scenario, where ``NO`` is Norway."""
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _change(root: yaml.Node, changes: Sequence[Change]) -> None:
    problems = []
    for change in changes:
        loader = _Loader(change.text)
        loader.name = change.place
        try:
            value = loader.get_single_node()
            if value is None:
                raise ChangeError("no value")
            put(root, change, value)
        except ChangeError as error:
            problems.append(f"{change.place}: {error}")
        except (yaml.YAMLError, RecursionError):
            problems.append(f"{change.place}: not YAML: {change.text}")
        finally:
            loader.dispose()
    if problems:
        raise ScenarioError(problems)


def _check_apps(loaded: Loaded) -> None:
    """Users say which app they use where there is a choice, and every app has users."""
    names = [app.name for app in loaded.scenario.apps]
    users = loaded.scenario.users
    for at, part in enumerate(users):
        if part.app is None and len(names) > 1:
            raise loaded.problem(f"users[{at}]", f"app is needed, one of {', '.join(names)}")
        if part.app is not None and part.app not in names:
            raise loaded.problem(f"users[{at}].app", f"no app {part.app!r}{hint(part.app, names)}")
    used = {part.app or names[0] for part in users}
    for at, name in enumerate(names):
        if name not in used:
            raise loaded.problem(f"apps[{at}].name", f"nobody uses app {name!r}")


def _record(loaded: Loaded) -> WorldRecord:
    """The world that the scenario names, of an operator that it names."""
    path = loaded.path.parent / str(loaded.scenario.network.snapshot)
    try:
        record = read_world(read_bounded(path, WORLD_BYTES_MAX))
    except OSError as error:
        raise loaded.problem("network.snapshot", f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # RecordUnreadable, and a name with a null in it
        raise loaded.problem("network.snapshot", f"{path}: {error}") from error
    names = [operator.name for operator in loaded.scenario.operators]
    if record.home not in names:
        raise loaded.problem("operators", f"{record.home!r}, whose world {path.name} is, is missing")
    return record


def _compose(path: Path) -> yaml.Node:
    try:
        root = yaml.compose(read_bounded(path, FILE_BYTES_MAX).decode(), Loader=_Loader)
    except OSError as error:
        raise ScenarioError([f"{path}: {error.strerror or error}"]) from error
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(path, error) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ScenarioError([f"{path}: not YAML in UTF-8: {str(error).splitlines()[0]}"]) from error
    except RecursionError as error:
        raise ScenarioError([f"{path}: nested too deep"]) from error
    if not isinstance(root, yaml.MappingNode):
        raise ScenarioError([f"{path}:1: not a mapping; a scenario begins with version: 1"])
    return root


def _not_yaml(path: Path, error: yaml.MarkedYAMLError) -> ScenarioError:
    place = _place(path, error.problem_mark) if error.problem_mark else f"{path}:1"
    return ScenarioError([f"{place}: not YAML: {error.problem}"])


def _doubles(path: Path, node: yaml.Node, done: set[int]) -> Iterator[str]:
    """YAML keeps the last of two equal keys; here the second is an error. Aliases lead to the same node again, round in
    a circle or ten times ten times ten, so each is looked at once.
    """
    if id(node) in done:
        return
    done.add(id(node))
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if str(key.value) in seen:
                yield f"{path}:{key.start_mark.line + 1}: {key.value}: given twice"
            seen.add(str(key.value))
            yield from _doubles(path, value, done)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _doubles(path, value, done)


def _problem(path: Path, root: yaml.Node, error: ErrorDetails) -> str:
    where: Location = error["loc"]
    message = error["msg"].removeprefix("Value error, ")
    key, colon, rest = message.partition(": ")
    if not where and colon and key in Scenario.model_fields:  # of the whole, and yet about one of its keys
        where, message = (key,), rest
    place = f"{_place_of(path, root, where)}: "
    if error["type"] == "extra_forbidden":
        return f"{place}{_dotted(where)}: unknown key{hint(str(where[-1]), _valid_keys(where[:-1]))}"
    given = error["input"]
    if error["type"] != "value_error" and isinstance(given, str | int | float):
        message = f"{message}; got {given!r}{_meant(error['type'], given)}"
    return f"{place}{_dotted(where) or 'scenario'}: {message}"


def _meant(kind: str, given: str | float) -> str:
    """What to write instead of a text that says a number, or of a whole number with a point."""
    is_number = kind in ("int_type", "float_type") and not isinstance(given, bool)
    number = number_meant(str(given)) if is_number else None
    if number is None or (kind == "int_type" and not number.lstrip("-").isdigit()):
        return ""
    return f", which is a text in YAML; write {number}" if isinstance(given, str) else f"; write {number}"


def _valid_keys(where: Location) -> list[str]:
    model: type[BaseModel] = Scenario
    for step in where:
        if isinstance(step, str) and step in model.model_fields:
            model = next(models_in(model.model_fields[step].annotation), model)
    return list(model.model_fields)


def _dotted(where: Location) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".")


def _node_of(root: yaml.Node, where: Location) -> tuple[yaml.Node, yaml.Mark]:
    """The deepest node on the way to a location, and where it stands; its key where there is one."""
    node, mark = root, root.start_mark
    for step in where:
        found: list[tuple[yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            found = [(node.value[step], node.value[step])]
        if not found:
            break
        mark, node = found[0][0].start_mark, found[0][1]
    return node, mark


def _place_of(path: Path, root: yaml.Node, where: Location) -> str:
    """File and line of a location, or the change that put it there."""
    return _place(path, _node_of(root, where)[1])


def _place(path: Path, mark: yaml.Mark) -> str:
    name = str(mark.name)
    return name if name.startswith("--set ") else f"{path}:{mark.line + 1}"


def _law(path: Path, root: yaml.Node, scenario: Scenario, app: int) -> ResidencyPolicy:
    """An app's law, read, expanded and merged by the code that reads it of an app team."""
    where: Location = ("apps", app, "residency")
    node, mark = _node_of(root, where)
    place = _place(path, mark)
    source = place if place.startswith("--set ") else str(path)
    place = f"{place}: {_dotted(where)}: "
    value = YamlValue(node, _dotted(where), source)
    try:
        wire = policy_reader(scenario.as_of).read(value)
        policy = policy_in(wire, "residency")
    except (HansaError, RefusalError) as error:
        message = str(error.message)
        raise ScenarioError([message if message.startswith(source) else place + message]) from error
    now_ms = noon_ms(scenario.as_of)
    law = LawFiles(None, now_ms)
    try:
        presets = [law.expand(preset, now_ms) for preset in policy.presets]
    except PresetUnknown as error:
        raise ScenarioError([f"{place}{error}"]) from error
    return merge([replace(policy, presets=()), *presets]) if presets else policy


def as_document(scenario: Scenario) -> dict[str, Any]:
    """The scenario as plain values, for the results."""
    document: dict[str, Any] = scenario.model_dump(mode="json")
    return document
