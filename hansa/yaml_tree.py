"""Strict reading of YAML with line numbers: every value knows its place, and unknown or double keys are errors.

Scalars are read as they are written and converted by the one who asks. So ``NO`` stays Norway, where YAML 1.1 would
make it a boolean, and ``1.10`` stays a version.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from errno import EFBIG
from pathlib import Path

import yaml

from hansa.bounded_file import read_bounded
from hansa.errors import HansaError, invalid_field
from hansa.names import hint

SIZE_BYTES_MAX = 1_048_576


@dataclass(frozen=True, slots=True)
class YamlValue:
    """A value, its dotted path in the document, and the file that it is in."""

    node: yaml.Node
    path: str
    source: str

    @property
    def line(self) -> int:
        """The line, from 1."""
        return int(self.node.start_mark.line) + 1

    def error(self, message: str) -> HansaError:
        """An error that names file, line and field."""
        where = f"{self.source}:{self.line}: " if self.source else f"line {self.line}: "
        return invalid_field(self.path, where + message)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self.node, yaml.SequenceNode)

    @property
    def is_scalar(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode)

    def mapping(self, required: Iterable[str], optional: Iterable[str] = ()) -> dict[str, YamlValue]:
        """The values by key; a key that is unknown, double or missing is an error."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("expected a mapping (key: value)")
        valid = [*required, *optional]
        found: dict[str, YamlValue] = {}
        for key_node, value_node in self.node.value:
            key = self._key(key_node, valid, found)
            found[key] = YamlValue(value_node, f"{self.path}.{key}" if self.path else key, self.source)
        for key in required:
            if key not in found:
                raise self.error(f"key {key!r} is missing")
        return found

    def named(self) -> Iterator[tuple[str, YamlValue]]:
        """Keys and values of a mapping whose keys are names of things; a double one is an error."""
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error("expected a mapping (name: value)")
        keys = [str(key.value) if isinstance(key, yaml.ScalarNode) else "?" for key, _ in self.node.value]
        yield from self.mapping((), keys).items()

    def _key(self, node: yaml.Node, valid: list[str], found: dict[str, YamlValue]) -> str:
        key = str(node.value) if isinstance(node, yaml.ScalarNode) else "?"
        place = YamlValue(node, f"{self.path}.{key}" if self.path else key, self.source)
        if key not in valid:
            raise place.error(f"unknown key {key!r}{hint(key, valid)}")
        if key in found:
            raise place.error(f"key {key!r} stands twice, first in line {found[key].line}")
        return key

    def items(self) -> Iterator[YamlValue]:
        """The elements of a list."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error("expected a list ([a, b] or lines with -)")
        for index, node in enumerate(self.node.value):
            yield YamlValue(node, f"{self.path}[{index}]", self.source)

    def text(self) -> str:
        """A scalar as it is written; empty is an error, and so is what UTF-8 cannot carry."""
        if not isinstance(self.node, yaml.ScalarNode):
            raise self.error("expected a single value")
        value = str(self.node.value).strip()
        if not value:
            raise self.error("must not be empty")
        if any("\ud800" <= char <= "\udfff" for char in value):
            raise self.error(f"{value!a} holds half of a surrogate pair, which is no character")
        return value

    def one_of(self, valid: Iterable[str]) -> str:
        """A scalar that must be one of these words."""
        words, value = list(valid), self.text()
        if value not in words:
            raise self.error(f"{value!r} is not one of {', '.join(words)}{hint(value, words)}")
        return value

    def integer(self, least: int, most: int) -> int:
        """A whole number between two bounds, both included."""
        value = self.text()
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdigit()):
            raise self.error(f"{value!r} is not a whole number{_nearest_whole(value, least, most)}")
        number = int(value) if len(digits) <= 18 else most + 1
        if not least <= number <= most:
            bound = least if value.startswith("-") or number < least else most
            raise self.error(f"{value} is not between {least} and {most}; nearest valid: {bound}")
        return number

    def scaled(self, scale: int, *, most: int, least: int | None = None) -> int:
        """A decimal number times ``scale``, exactly; what does not come out whole is an error.

        ``most`` bounds the number before scaling, ``least`` from below, both included; without it, the number must be
        more than 0.
        """
        value = self.text()
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise self.error(f"{value!r} is not a number") from None
        if not number.is_finite() or not (number > 0 if least is None else least <= number) or number > most:
            bound = "more than 0" if least is None else f"at least {least}"
            raise self.error(f"{value} is not {bound} and at most {most}{_nearest_bound(number, scale, most, least)}")
        product = number * scale
        if product != product.to_integral_value():
            near = Decimal(max(math.ceil(product), 1)) / scale
            raise self.error(f"{value} is finer than 1/{scale}; nearest valid: {near.normalize():f}")
        return int(product)


def _nearest_whole(value: str, least: int, most: int) -> str:
    """The whole number next to a decimal one, the even of two, within the bounds; empty for what is no number."""
    try:
        number = Decimal(value)
    except InvalidOperation:
        return ""
    if not number.is_finite():
        return ""
    return f"; nearest valid: {int(min(max(number, Decimal(least)), Decimal(most)).to_integral_value())}"


def _nearest_bound(number: Decimal, scale: int, most: int, least: int | None) -> str:
    """The bound that a number went beyond; none for what is no number."""
    if number.is_nan():
        return ""
    if number > most:
        return f"; nearest valid: {most}"
    smallest = Decimal(1) / scale if least is None else Decimal(least)
    return f"; nearest valid: {smallest:f}"


def read_yaml_file(path: Path) -> YamlValue:
    """The single document of a file; raises HansaError NOT_FOUND or INVALID_FIELD (with line)."""
    try:
        raw = read_bounded(path, SIZE_BYTES_MAX)
    except OSError as error:
        if error.errno == EFBIG:
            raise invalid_field("file", f"{path}: {error.strerror}") from error
        raise HansaError("NOT_FOUND", f"{path}: {error.strerror or error}", field="file") from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise invalid_field("file", f"{path}: not UTF-8 at byte {error.start}") from error
    return read_yaml(text, source=str(path))


def read_yaml(text: str, *, source: str = "") -> YamlValue:
    """The single document of a text; raises HansaError INVALID_FIELD with the line of what is wrong."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise invalid_field("", f"{source or 'line'}:{line}: {error.problem or 'not YAML'}") from error
    except yaml.YAMLError as error:
        raise invalid_field("", f"{source}: not YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise invalid_field("", f"{source}: nested too deep") from error
    if node is None:
        raise invalid_field("", f"{source}: is empty")
    return YamlValue(node, "", source)
