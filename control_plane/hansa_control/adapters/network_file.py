"""Reads an operator's network from a YAML file: its nodes and the links that it carries.

The file is written by a person or by a tool, so everything that is not understood is an error with its line. Round-trip
times come from the file where the operator declares them and from a latency model otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from math import ceil, floor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

import pycountry
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from hansa_control.domain.model import LatencyBasis, LinkEncryption, LinkKind, NetworkLink, NetworkNode, RoundTrip
from hansa_control.domain.units import modelled_link_rtt, physical_link_rtt

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

FILE_BYTES_MAX = 16 * 1024 * 1024
UNKNOWN = "unknown"

Location = tuple[str | int, ...]
LatencyModel = Literal["calibrated", "physical"]


class NetworkFileError(ValueError):
    """The file cannot be used. ``field`` is the dotted path to what is wrong, ``line`` counts from 1; 0 is none."""

    def __init__(self, path: Path, line: int, field: str, message: str) -> None:
        where = f"{path}:{line}" if line else str(path)
        super().__init__(f"{where}: {field}: {message}" if field else f"{where}: {message}")
        self.path = path
        self.line = line
        self.field = field


def read_network_file(path: Path) -> tuple[tuple[NetworkNode, ...], tuple[NetworkLink, ...]]:
    """The nodes and links of an operator, each sorted by name.

    A link needs one end among the file's nodes; the other may be a partner's, who shares it. Declared round-trip times
    are taken as measured with 0 samples. Raises NetworkFileError for anything that the form does not allow and OSError
    when the file cannot be read.
    """
    root = _compose(path)
    entries = _validated(path, root)
    _check_names(path, root, entries)
    nodes = sorted((_node(entry) for entry in entries.nodes), key=lambda node: node.name)
    links = sorted((_link(entry, entries.latency_model) for entry in entries.links), key=lambda link: link.name)
    return tuple(nodes), tuple(links)


def _known_country(code: str) -> str:
    if pycountry.countries.get(alpha_2=code) is None or not code.isupper():
        raise ValueError(f"{code!r} is not an ISO 3166-1 alpha-2 country code such as NO")
    return code


def _none_if_unknown(value: object) -> object:
    if value is None or (isinstance(value, str) and value != UNKNOWN):
        raise ValueError(f"expected a list, [] for none besides the ends', or {UNKNOWN}; got {value!r}")
    return None if value == UNKNOWN else value


Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[a-z0-9]+(-+[a-z0-9]+)*$")]
Country = Annotated[str, AfterValidator(_known_country)]
Countries = Annotated[list[Country] | None, BeforeValidator(_none_if_unknown)]
Megabits = Annotated[float, Field(ge=0.001, le=1e9, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(gt=0, le=10_000, allow_inf_nan=False)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _NodeEntry(_Entry):
    name: Name
    title: str = Field(default="", max_length=128)
    country: Country | None = None
    lat: float = Field(ge=-90, le=90, allow_inf_nan=False)
    lon: float = Field(ge=-180, le=180, allow_inf_nan=False)
    access_point: bool = False
    at_sea: bool = False

    @model_validator(mode="after")
    def _sea_is_nobodys(self) -> Self:
        if self.at_sea and self.country is not None:
            raise ValueError(f"at_sea is true, so there is no country; country is {self.country}")
        return self


class _RoundTripEntry(_Entry):
    p50: Milliseconds
    p95: Milliseconds
    p99: Milliseconds

    @model_validator(mode="after")
    def _percentiles_rise(self) -> Self:
        if not self.p50 <= self.p95 <= self.p99:
            raise ValueError(f"p50 {self.p50} <= p95 {self.p95} <= p99 {self.p99} does not hold")
        return self


class _LinkEntry(_Entry):
    name: Name
    a: Name
    b: Name
    length_km: float = Field(ge=0, le=20_000, allow_inf_nan=False)
    countries: Countries
    carrier: Name
    kind: Literal["terrestrial", "sea_cable"]
    rtt_ms: _RoundTripEntry | None = None
    forward_share_percent: Annotated[float, Field(ge=0.1, le=99.9, allow_inf_nan=False)] = 50.0
    one_way: bool = False
    bandwidth_mbps: Megabits | Literal["unknown"] = "unknown"
    encryption: Literal["encrypted", "none", "unknown"] = "unknown"

    @model_validator(mode="after")
    def _is_a_link(self) -> Self:
        if self.a == self.b:
            raise ValueError(f"both ends are {self.a}")
        if self.length_km == 0 and self.rtt_ms is None:
            raise ValueError("length_km is 0, which is unknown, so rtt_ms has to be given")
        if self.rtt_ms is not None and self.rtt_ms.p50 < self._bound_ms():
            raise ValueError(f"rtt_ms.p50 {self.rtt_ms.p50} is faster than light in fibre, {self._bound_ms():.3f} ms")
        return self

    def _bound_ms(self) -> float:
        """5 % below the physical model, whose 200 km/ms is rounded: fibre reaches 204 km/ms."""
        return physical_link_rtt(round(self.length_km * 1000)).p50_us / 1000 * 0.95


class _NetworkFile(_Entry):
    latency_model: LatencyModel = "calibrated"
    nodes: list[_NodeEntry]
    links: list[_LinkEntry]


_MODELS = {"calibrated": modelled_link_rtt, "physical": physical_link_rtt}
_KINDS = {"terrestrial": LinkKind.TERRESTRIAL, "sea_cable": LinkKind.SEA_CABLE}
_ENTRIES: Mapping[str, type[_Entry]] = {"nodes": _NodeEntry, "links": _LinkEntry, "rtt_ms": _RoundTripEntry}


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, as in YAML 1.2: Norway is NO and not ``false``."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own form
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _compose(path: Path) -> yaml.Node:
    if path.stat().st_size > FILE_BYTES_MAX:
        raise NetworkFileError(path, 0, "", f"larger than {FILE_BYTES_MAX} bytes")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(path, error) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise NetworkFileError(path, 0, "", f"not YAML in UTF-8: {error}") from error
    if not isinstance(root, yaml.MappingNode):
        raise NetworkFileError(path, 1, "", "not a mapping; expected latency_model, nodes and links")
    return root


def _not_yaml(path: Path, error: yaml.MarkedYAMLError) -> NetworkFileError:
    line = error.problem_mark.line + 1 if error.problem_mark else 0
    return NetworkFileError(path, line, "", f"not YAML: {error.problem}")


def _validated(path: Path, root: yaml.Node) -> _NetworkFile:
    _refuse_repeated_keys(path, root, ())
    loader = _Loader("")
    try:
        return _NetworkFile.model_validate(loader.construct_document(root))
    except yaml.MarkedYAMLError as error:
        raise _not_yaml(path, error) from error
    except ValidationError as error:
        # A misspelt key also makes the right one missing; the misspelling is what to mend.
        first = min(error.errors(include_url=False), key=lambda entry: entry["type"] != "extra_forbidden")
        raise _invalid(path, root, first["loc"], _message(first)) from error
    finally:
        loader.dispose()


def _refuse_repeated_keys(path: Path, node: yaml.Node, location: Location) -> None:
    """YAML keeps the last of two equal keys; here the second is an error."""
    seen: set[str] = set()
    for key, child, step in _children(node):
        if key is not None and step in seen:
            raise NetworkFileError(path, key.start_mark.line + 1, _dotted((*location, step)), "given twice")
        seen.add(str(step))
        if len(location) < 4:  # deeper than the form goes; an alias could lead round in a circle
            _refuse_repeated_keys(path, child, (*location, step))


def _children(node: yaml.Node) -> Iterator[tuple[yaml.Node | None, yaml.Node, str | int]]:
    """(key, value, name or index) of what a mapping or a sequence holds."""
    if isinstance(node, yaml.MappingNode):
        yield from ((key, value, str(key.value)) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        yield from ((None, value, index) for index, value in enumerate(node.value))


def _invalid(path: Path, root: yaml.Node, location: Location, message: str) -> NetworkFileError:
    return NetworkFileError(path, _line(root, location), _dotted(location), message)


def _line(root: yaml.Node, location: Location) -> int:
    """The line of what a location leads to, or of the last step on the way that exists."""
    node, line = root, root.start_mark.line
    for step in location:
        found = [(key or child, child) for key, child, name in _children(node) if name == step]
        if not found:
            break
        line, node = found[0][0].start_mark.line, found[0][1]
    return line + 1


def _dotted(location: Location) -> str:
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in location]
    return "".join(parts).lstrip(".")


def _message(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return _unknown_key(error["loc"])
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    given = error["input"]
    return f"{error['msg']}; got {given!r}" if isinstance(given, str | int | float | None) else error["msg"]


def _unknown_key(location: Location) -> str:
    *parents, key = location
    names = [step for step in parents if isinstance(step, str)]
    valid = sorted(_ENTRIES.get(names[-1], _NetworkFile).model_fields if names else _NetworkFile.model_fields)
    near = get_close_matches(str(key), valid, n=1, cutoff=0.4)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known are {', '.join(valid)}"


def _check_names(path: Path, root: yaml.Node, entries: _NetworkFile) -> None:
    """Names are given once, and every link has an end here."""
    names = {"nodes": [node.name for node in entries.nodes], "links": [link.name for link in entries.links]}
    for kind, given in names.items():
        seen: set[str] = set()
        for index, name in enumerate(given):
            if name in seen:
                raise _invalid(path, root, (kind, index, "name"), f"{name} is given twice")
            seen.add(name)
    own = {node.name for node in entries.nodes}
    for index, link in enumerate(entries.links):
        if link.a not in own and link.b not in own:
            raise _invalid(path, root, ("links", index, "a"), f"neither {link.a} nor {link.b} is a node of this file")


def _node(entry: _NodeEntry) -> NetworkNode:
    return NetworkNode(
        name=entry.name,
        title=entry.title,
        country=entry.country,
        latitude_deg=entry.lat,
        longitude_deg=entry.lon,
        access_point=entry.access_point,
        at_sea=entry.at_sea,
    )


def _link(entry: _LinkEntry, latency_model: LatencyModel) -> NetworkLink:
    length_m = round(entry.length_km * 1000)
    rtt = _declared(entry.rtt_ms) if entry.rtt_ms else _MODELS[latency_model](length_m)
    return NetworkLink(
        name=entry.name,
        node_a=entry.a,
        node_b=entry.b,
        length_m=length_m,
        rtt=rtt,
        countries=None if entry.countries is None else tuple(sorted(set(entry.countries))),
        carrier=entry.carrier,
        kind=_KINDS[entry.kind],
        forward_permille=round(entry.forward_share_percent * 10),
        one_way=entry.one_way,
        bandwidth_kbps=0 if isinstance(entry.bandwidth_mbps, str) else floor(entry.bandwidth_mbps * 1000),
        encryption=LinkEncryption(entry.encryption.upper()),
    )


def _declared(entry: _RoundTripEntry) -> RoundTrip:
    """Rounded up to whole microseconds, so that a path never looks faster than declared."""
    p50_us, p95_us, p99_us = (ceil(figure * 1000) for figure in (entry.p50, entry.p95, entry.p99))
    return RoundTrip(p50_us, p95_us, p99_us, LatencyBasis.MEASURED)
