"""What has one home stays there: clock, chance, identifiers, environment. And what nobody should find anywhere."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from source_tree import Source, sources_of_product, sources_of_tests, sources_of_tools

HOMES = frozenset({"system.py", "config.py", "profile.py"})
BANNED_NAMES = frozenset(
    {
        "asyncio.sleep",
        "datetime.date.today",
        "datetime.datetime.now",
        "datetime.datetime.today",
        "datetime.datetime.utcnow",
        "os.environ",
        "os.getenv",
        "os.urandom",
        "random",
        "secrets",
        "time.monotonic",
        "time.monotonic_ns",
        "time.perf_counter",
        "time.sleep",
        "time.time",
        "time.time_ns",
        "uuid",
    }
)
# Folders that may use something outside its home, and why. One that no longer does must leave this list.
ALLOWED = {
    ("control_plane/hansa_control/command.py", "os.environ"): "gRPC is told in no other way, before it is loaded",
    ("simulations/", "asyncio.sleep"): "its event loop runs on virtual time; the twin asks real operators at intervals",
    ("simulations/hansa_sim/latency/twin/server.py", "os.environ"): "an artefact is told everything in this way",
    ("simulations/hansa_sim/latency/twin/server.py", "time.monotonic_ns"): "it runs as a file, and works by the clock",
    ("demo/", "asyncio.sleep"): "it plays app teams who ask at intervals, and watches processes with no event to await",
    ("demo/", "os.environ"): "it starts processes, and its server is an artefact with a contract of its own",
    ("demo/", "time.monotonic"): "people watch it, and it measures what they see",
    ("demo/", "time.perf_counter"): "it measures how long reading an image takes",
    ("demo/", "time.sleep"): "it waits for processes and has no event loop",
    ("demo/", "time.time_ns"): "its certificates begin now",
}
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX|NotImplemented" + r"Error)\b")
EMPTY_WORDS = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"})


def test_clock_chance_and_environment_are_used_only_in_their_homes() -> None:
    uses = [
        (source.path, name)
        for source in sources_of_product()
        if source.path.rpartition("/")[2] not in HOMES
        for name in banned_uses(source)
    ]
    allowed = {
        use: folder for use in uses for folder in ALLOWED if use[0].startswith(folder[0]) and use[1] == folder[1]
    }
    assert [use for use in uses if use not in allowed] == []
    assert set(ALLOWED) - set(allowed.values()) == set(), "no longer needed"


def test_nothing_is_left_unfinished() -> None:
    sources = [*sources_of_product(), *sources_of_tools(), *sources_of_tests()]
    found = [
        f"{source.path}:{number}"
        for source in sources
        for number, line in enumerate(source.text.splitlines(), 1)
        if UNFINISHED.search(line) and not source.path.endswith("architecture/test_banned.py")
    ]
    assert found == []


def test_every_module_is_named_after_what_it_does() -> None:
    sources = [*sources_of_product(), *sources_of_tools(), *sources_of_tests()]
    names = [re.split(r"[/_.]", source.path) for source in sources]
    assert [source.path for source, words in zip(sources, names, strict=True) if EMPTY_WORDS & set(words)] == []


def test_tests_are_at_least_as_long_as_what_they_test() -> None:
    product = sum(source.line_count for source in sources_of_product())
    tests = sum(source.line_count for source in sources_of_tests())
    assert tests >= product, f"{tests} lines of tests for {product} lines of source"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import time\ntime.monotonic()", {"time.monotonic"}),
        ("import time as t\nx = t.sleep", {"time.sleep"}),
        ("from time import monotonic", {"time.monotonic"}),
        ("from datetime import datetime\ndatetime.now()", {"datetime.datetime.now"}),
        ("import random", {"random"}),
        ("from uuid import uuid4", {"uuid"}),
        ("import os\nos.environ['A']", {"os.environ"}),
        ("import numpy as np\nnp.random.default_rng(1)", set()),
        ("import time\ntime.strftime('%Y')", set()),
    ],
)
def test_banned_use_is_seen_however_it_is_imported(text: str, expected: set[str]) -> None:
    assert set(banned_uses(Source("x.py", text, ast.parse(text)))) == expected


def banned_uses(source: Source) -> Iterator[str]:
    """The banned names that a module imports or reads, in full, whatever they are called there."""
    aliases: dict[str, str] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                aliases[alias.asname or alias.name.partition(".")[0]] = alias.name
                yield from _banned(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                aliases[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                yield from _banned(f"{node.module}.{alias.name}")
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Attribute) and (name := _dotted(node, aliases)):
            yield from _banned(name)


def _banned(name: str) -> Iterator[str]:
    yield from (banned for banned in BANNED_NAMES if name == banned or name.startswith(f"{banned}."))


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return aliases.get(node.id, "")
    if isinstance(node, ast.Attribute) and (owner := _dotted(node.value, aliases)):
        return f"{owner}.{node.attr}"
    return ""
