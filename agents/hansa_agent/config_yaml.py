"""YAML into a pydantic model, with errors that say where: file, line, and the nearest valid key to an unknown one."""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hansa_agent.plain_file import NotPlain, read_plain

BYTES_MAX = 4 << 20
Model = TypeVar("Model", bound=BaseModel)
_Location = tuple[int | str, ...]


class ConfigError(Exception):
    """A configuration that cannot be used; one line a problem, each "FILE:LINE: what"."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice; YAML 1.2, section 3.2.1.3, demands unique keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_yaml(path: Path, model: type[Model], check: Callable[[bytes], None] = lambda content: None) -> Model:
    """Reads ``path`` as ``model``; raises ``ConfigError``. ``check`` sees the very bytes that are then understood."""
    try:
        content = read_plain(path, BYTES_MAX)
        check(content)
        text = content.decode("utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        tree = yaml.load(text, _Loader)  # noqa: S506 - derived from SafeLoader
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror}"]) from error
    except NotPlain as error:
        raise ConfigError([f"{path}: {error}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: not UTF-8"]) from error
    except yaml.MarkedYAMLError as error:
        raise ConfigError([f"{path}:{_line_of_mark(error)}: {error.problem}"]) from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        # PyYAML lets these through for 2026-02-30, a list as a key, a control character and a thousand brackets.
        why = " ".join(str(error).split())
        raise ConfigError([f"{path}: it cannot be read: {why}"]) from error
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise ConfigError([_problem(path, root, model, each) for each in error.errors()]) from error


def _problem(path: Path, root: yaml.Node | None, model: type[BaseModel], error: ErrorDetails) -> str:
    where: _Location = error["loc"]
    line = _line_of(root, where)
    dotted = ".".join(str(part) for part in where)
    if error["type"] != "extra_forbidden":
        return f"{path}:{line}: {dotted + ': ' if dotted else ''}{error['msg']}"
    nearest = difflib.get_close_matches(str(where[-1]), _fields_at(model, where[:-1]), n=1, cutoff=0.5)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return f"{path}:{line}: unknown key {dotted!r}{hint}"


def _line_of_mark(error: yaml.MarkedYAMLError) -> int:
    return error.problem_mark.line + 1 if error.problem_mark is not None else 1


def _line_of(root: yaml.Node | None, where: _Location) -> int:
    """The line of the deepest node on the way to ``where``; of its key where there is one."""
    node, line = root, 1
    for part in where:
        if isinstance(node, yaml.MappingNode):
            entry = next(((key, value) for key, value in node.value if key.value == str(part)), None)
            if entry is None:
                return line
            line, node = entry[0].start_mark.line + 1, entry[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _fields_at(model: type[BaseModel], where: _Location) -> list[str]:
    for part in where:
        if isinstance(part, str) and part in model.model_fields:
            inner = next(_models_in(model.model_fields[part].annotation), None)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType, list, tuple, dict):
        for each in get_args(annotation):
            yield from _models_in(each)
