"""Tries one mutant of the domain in a child that was forked with everything ready: what tools/mutate.py runs on.

The parent imports the libraries and the engine as it is, and asks the oracle for its answers on a corpus of worlds,
once. Each child drops what was imported of this tree except the value types, which no mutant is made of, imports it
again with the mutant in place of its module, and holds that against the answers; then it runs the module's unit tests.
"""

from __future__ import annotations

import gc
import importlib.abc
import importlib.util
import os
import resource
import sys
from collections import Counter
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DOMAIN = "control_plane/hansa_control/domain"
HOMES = (".", "control_plane", "agents", "simulations", "demo", "tests/oracle", "tests/unit/domain")
LIBRARIES = ("cel_expr_python", "hypothesis", "networkx", "numpy", "pycountry", "pytest", "scipy.sparse.csgraph")
SEEDS = 1_500
"""Of so many worlds those are kept that have something which few before them had."""
MEETINGS = 3
WALKS, STEPS = 6, 8
CPU_SECONDS_MAX, BYTES_MAX = 20, 6 << 30
CPU_SECONDS_MORE = 60  # for each file of slower tests
KILLED, LIVED, KILLED_BY_TESTS, LIVED_IN_OTHER_WORDS = 1, 0, 2, 3
FOUND = ("tests/oracle/test_found_by_oracle.py",)
UNITS = {
    **dict.fromkeys(("residency", "claims", "assurance"), ("assurance", "residency", "law")),
    **dict.fromkeys(("attributes", "predicates"), ("predicates", "law")),
    **dict.fromkeys(("law_filter", "claim_groups"), ("law", "feasibility", "filter_words")),
    **dict.fromkeys(("locations", "location_filter"), ("locations", "feasibility", "filter_words")),
    **dict.fromkeys(("place_filters", "capacity_filters"), ("filter_words", "feasibility", "service_filter")),
    **dict.fromkeys(
        ("reach", "round_trips"), ("measured_paths", "feasibility", "filter_words", "routing", "route_keys")
    ),
    **dict.fromkeys(("routing", "route_graph", "route_tree", "route_reasons", "repair"), ("routing", "filter_words")),
    "feasibility": ("feasibility", "all_reasons", "filter_words", "measured_paths", "service_filter"),
    "service": ("service_filter",),
    "transit": ("transit", "law", "routing"),
    "merging": ("merging", "law"),
}
"""By module, the files of tests/unit/domain that are run on its mutants."""


class Case(NamedTuple):
    """A world, as it is or as the last of some steps, and the oracle's answers on it."""

    world: Any
    known: Any
    seed: int
    step: int


class Trial:
    """The parent's side; ``lives`` tries one mutant."""

    def __init__(self, more: Sequence[str] = ()) -> None:
        """more are test files to run beside those of the module."""
        sys.path[:0] = [str(ROOT / home) for home in HOMES]
        os.chdir(ROOT)
        for name in LIBRARIES:
            importlib.import_module(name)
        importlib.import_module("hansa_control.domain.model")
        self._values = set(sys.modules)
        self._cases = [*_worlds(), *_walks()]
        self._tests_first, self._more = False, tuple(more)
        self._words = list(_decisions(self._cases))
        gc.collect()
        gc.freeze()

    @property
    def more_count(self) -> int:
        """How many files of slower tests run beside those of the module."""
        return len(self._more)

    def lives(self, name: str, source: str) -> int:
        """What came of a mutant: one of KILLED, LIVED, LIVED_IN_OTHER_WORDS."""
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _end_with(self, name, source)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        # What killed the last is likely to kill the next one.
        self._tests_first = code == KILLED_BY_TESTS or (self._tests_first and code != KILLED)
        return code if code in (LIVED, LIVED_IN_OTHER_WORDS) else KILLED

    def result(self, name: str, source: str) -> int:
        """The same, in the child."""
        for module in [x for x in sys.modules if x not in self._values and _is_ours(sys.modules[x])]:
            del sys.modules[module]
            package, _, leaf = module.rpartition(".")
            if package in sys.modules:  # else "from package import module" would find it
                vars(sys.modules[package]).pop(leaf, None)
        sys.meta_path.insert(0, _InPlace(f"hansa_control.domain.{name}", source))
        tests = (*(f"tests/unit/domain/test_{unit}.py" for unit in UNITS.get(name, ())), *FOUND, *self._more)
        if self._tests_first and not _passes(tests):
            return KILLED_BY_TESTS
        words, differ = [], importlib.import_module("oracle_compare").differences
        for case, decision in zip(self._cases, _decisions(self._cases), strict=True):
            words.append(decision)
            if differ(case.world, decision, case.known):
                return KILLED
        if not self._tests_first and not _passes(tests):
            return KILLED_BY_TESTS
        return LIVED if list(map(repr, words)) == list(map(repr, self._words)) else LIVED_IN_OTHER_WORDS


class _InPlace(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a source in place of one module."""

    def __init__(self, name: str, source: str) -> None:
        self._name, self._source = name, source

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The mutant, where it is asked for."""
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        """Runs the mutant as a module."""
        exec(compile(self._source, f"<mutant of {self._name}>", "exec"), module.__dict__)  # noqa: S102


def _end_with(trial: Trial, name: str, source: str) -> None:
    """Ends the child with the result; a mutant that cannot be run, runs for too long or grows too large is killed."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    seconds = CPU_SECONDS_MAX + CPU_SECONDS_MORE * trial.more_count
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES_MAX, BYTES_MAX))
    code = KILLED
    try:
        code = trial.result(name, source)
    finally:
        os._exit(code)


def _is_ours(module: ModuleType) -> bool:
    return (getattr(module, "__file__", None) or "").startswith(str(ROOT))


def _passes(tests: Sequence[str]) -> bool:
    import hypothesis
    import pytest

    hypothesis.settings.register_profile("mutants", database=None, deadline=None, derandomize=True)
    hypothesis.settings.load_profile("mutants")
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", *dict.fromkeys(tests)]) == 0


# --- the corpus ------------------------------------------------------------------------------------------------------


def _oracle(module: str) -> Any:
    """A module of tests/oracle, which is on the path only here."""
    return importlib.import_module(module)


def _worlds() -> list[Case]:
    answers, random_world = _oracle("oracle_compare").answers, _oracle("oracle_worlds").random_world
    met, kept = Counter[object](), list[Case]()
    for seed in range(SEEDS):
        world = random_world(seed)
        known = answers(world)
        features = {
            fault for verdict in known.verdicts.values() for fault in verdict.faults or {("feasible", seed % 40)}
        }
        if any(met[feature] < MEETINGS for feature in features):
            met.update(features)
            kept.append(Case(world, known, seed, 0))
    return kept


def _walks() -> list[Case]:
    """Worlds as they were after each step, so that what is kept between decisions is used."""
    answers, worlds = _oracle("oracle_compare").answers, _oracle("oracle_worlds")
    found = []
    for seed in range(WALKS):
        living = _oracle("living_world").LivingWorld(worlds.random_world(seed), worlds.Stream(seed))
        for step in range(1, STEPS + 1):
            living.step()
            found.append(Case(living.world, answers(living.world), seed, step))
    return found


def _decisions(cases: Sequence[Case]) -> Any:
    """The engine's decision in each case, by the modules that are imported now."""
    worlds, living = _oracle("oracle_worlds"), _oracle("living_world")
    placement = importlib.import_module("hansa_control.domain.placement")
    for case in cases:
        world = worlds.World(**vars(case.world))
        if not case.step:
            snapshot = world.snapshot()
        else:
            if case.step == 1:
                walk = living.LivingWorld(worlds.random_world(case.seed), worlds.Stream(case.seed))
            walk.step()
            snapshot = walk.snapshot
        yield placement.decide(world.request(), snapshot, world.now_ms)
