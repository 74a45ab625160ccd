"""The demonstration of replicas says what it needs."""

from __future__ import annotations

import sys

import pytest
from hansa_demo.main import app
from typer.testing import CliRunner


def test_a_missing_driver_is_named_with_the_extra_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hansa_demo.high_availability", raising=False)
    monkeypatch.delitem(sys.modules, "hansa_demo.postgres_server", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    ended = CliRunner().invoke(app, ["ha"])
    assert ended.exit_code == 2
    assert "psycopg is missing: pip install 'hansa[demo,postgres]'" in ended.output
