"""The environment that an agent gives the inference server."""

from __future__ import annotations

from pathlib import Path

import pytest
from hansa_agent.launch import ENVIRONMENT
from hansa_demo.ocr_settings import Settings, SettingsError


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    for name in ("cert", "key", "ca"):
        (tmp_path / name).write_text("no PEM")
    return {
        "HANSA_LISTEN_HOST": "127.0.0.1",
        "HANSA_LISTEN_PORT": "8443",
        "HANSA_TLS_CERT": str(tmp_path / "cert"),
        "HANSA_TLS_KEY": str(tmp_path / "key"),
        "HANSA_CLIENT_CA": str(tmp_path / "ca"),
        "HANSA_CLIENT_IDS": "spiffe://a.example/x, spiffe://b.example/y,",
        "HANSA_READY_FILE": str(tmp_path / "ready"),
    }


def test_everything_it_needs_is_something_an_agent_gives(environment: dict[str, str]) -> None:
    assert environment.keys() <= ENVIRONMENT.keys()


def test_identities_are_split_at_commas(environment: dict[str, str]) -> None:
    settings = Settings.from_environment(environment)
    assert settings.client_ids == {"spiffe://a.example/x", "spiffe://b.example/y"}
    assert (settings.host, settings.port) == ("127.0.0.1", 8443)


@pytest.mark.parametrize(
    "name",
    [
        "HANSA_LISTEN_HOST",
        "HANSA_LISTEN_PORT",
        "HANSA_TLS_CERT",
        "HANSA_TLS_KEY",
        "HANSA_CLIENT_CA",
        "HANSA_CLIENT_IDS",
        "HANSA_READY_FILE",
    ],
)
def test_a_missing_or_empty_variable_is_named(environment: dict[str, str], name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({**environment, name: ""})
    del environment[name]
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment(environment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HANSA_LISTEN_PORT", "0"),
        ("HANSA_LISTEN_PORT", "65536"),
        ("HANSA_LISTEN_PORT", "-1"),
        ("HANSA_LISTEN_PORT", "https"),
        ("HANSA_CLIENT_IDS", " , "),
        ("HANSA_TLS_CERT", "/nowhere/cert.pem"),
        ("HANSA_CLIENT_CA", "/nowhere/ca.pem"),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment({**environment, name: value})


def test_a_certificate_that_cannot_be_used_is_named(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="HANSA_TLS_CERT"):
        Settings.from_environment(environment).ssl_context()
