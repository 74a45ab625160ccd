"""One registry of reasons: wire, core, client, advice and documentation name the same ones."""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from hansa_control.domain.model import Reason
from source_tree import ROOT

from hansa import errors
from hansa.reasons import EXPLANATIONS
from hansa.v1 import reason_pb2

GENERATOR = runpy.run_path(str(ROOT / "tools/generate_error_docs.py"))
PROTO = (ROOT / "proto/hansa/v1/reason.proto").read_text(encoding="utf-8")
PAGE = ROOT / "docs/errors.md"


def _registered() -> list[str]:
    read: Callable[[str], list[Any]] = GENERATOR["read_registry"]
    return [entry.name for entry in read(PROTO)]


def test_wire_has_the_reasons_of_the_proto_in_the_same_order() -> None:
    numbers = {name.removeprefix("REASON_"): number for name, number in reason_pb2.Reason.items() if number}
    assert sorted(numbers, key=lambda name: numbers[name]) == _registered()


def test_domain_has_the_reasons_of_the_proto() -> None:
    assert [reason.value for reason in Reason] == _registered()
    assert [reason.name for reason in Reason] == _registered()


def test_client_knows_the_reasons_of_the_proto() -> None:
    assert list(errors.reason_names()) == _registered()


def test_every_reason_is_explained_in_words_and_no_other() -> None:
    assert list(EXPLANATIONS) == _registered()


def test_explanations_mean_what_the_proto_says() -> None:
    read: Callable[[str], list[Any]] = GENERATOR["read_registry"]
    meanings = {entry.name: entry.meaning for entry in read(PROTO)}
    assert {name: text.meaning for name, text in EXPLANATIONS.items()} == meanings


def test_every_reason_has_a_grpc_code_that_is_an_error() -> None:
    assert {name for name in _registered() if errors.grpc_code(name) is grpc.StatusCode.OK} == set()


def test_code_table_names_only_registered_reasons() -> None:
    assert set(errors._CODES) <= set(_registered())


def test_every_reason_has_a_row_in_the_documentation() -> None:
    rows = re.findall(r"^\| `(\w+)` \| \d+ \|", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert rows == _registered()


def test_documentation_is_what_the_registry_generates() -> None:
    assert PAGE.read_text(encoding="utf-8") == GENERATOR["render_page"](PROTO), "run make docs"


def test_reason_without_a_comment_is_refused() -> None:
    with pytest.raises(ValueError, match="NEW_ONE has no comment"):
        GENERATOR["read_registry"]("enum Reason {\n  // Fine.\n  REASON_OLD_ONE = 1;\n  REASON_NEW_ONE = 2;\n}\n")
