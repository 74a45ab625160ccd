"""The configuration file of a control plane."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hansa_control.config import ConfigError, StoreConfig, read_config

REPOSITORY = Path(__file__).parents[3]
EXAMPLE = REPOSITORY / "control_plane" / "control-plane.example.yaml"

GOOD = """\
operator: nordfjord
data_dir: state
network: network.yaml
listen:
  api: 127.0.0.1:0
tls:
  ca: ca.pem
  cert: cp.pem
  key: cp.key
partners:
  - operator: fjordby
    endpoint: 127.0.0.1:7445
    ca: fjordby.pem
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "control-plane.yaml"
    path.write_text(text)
    return path


def error_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        read_config(written(tmp_path, text))
    return str(error.value).removeprefix(str(tmp_path / "control-plane.yaml"))


def test_the_example_is_a_good_configuration() -> None:
    config = read_config(EXAMPLE)
    assert config.operator == "nordfjord"
    assert config.timings.drain_ms == 5_000


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("store: {postgres: 'postgresql://127.0.0.1/hansa'}", "store: postgres needs replica"),
        ("store: {replica: op-0}", "store: replica goes with postgres"),
        ("store: {lease_ms: 10}", "store.lease_ms: "),
    ],
)
def test_a_store_that_does_not_fit_together_is_refused(tmp_path: Path, store: str, said: str) -> None:
    path = tmp_path / "control-plane.yaml"
    path.write_text(EXAMPLE.read_text() + f"\n{store}\n")
    with pytest.raises(ConfigError, match=re.escape(said)):
        read_config(path)


def test_the_example_shows_every_key() -> None:
    text = EXAMPLE.read_text()
    config = read_config(EXAMPLE)
    parts = (config, config.store, config.listen, config.tls, config.partners[0], config.timings, config.limits)
    parts += (config.known_operators[0], config.legal_facts[0])
    for part in parts:
        for key in type(part).model_fields:
            assert f"{key}:" in text, key


def test_the_example_shows_the_defaults() -> None:
    shown = [line.split("#", 1)[1] for line in EXAMPLE.read_text().splitlines() if line.strip().startswith("# ")]
    config = read_config(EXAMPLE)
    for part in (config.timings, config.limits, StoreConfig(postgres="x", replica="op-0")):
        for key, default in part.model_dump(exclude={"postgres", "replica"}).items():
            lines = [line for line in shown if line.strip().startswith(f"{key}:")]
            assert all(line.split(":")[1].split()[0] == str(default) for line in lines), key


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, GOOD))
    assert config.data_dir == tmp_path / "state"
    assert config.tls.key == tmp_path / "cp.key"
    assert config.partners[0].ca == tmp_path / "fjordby.pem"


def test_trust_domains_follow_the_operators_unless_they_are_given(tmp_path: Path) -> None:
    config = read_config(written(tmp_path, GOOD))
    assert config.trust_domain == "nordfjord.hansa.example"
    assert config.partners[0].trust_domain == "fjordby.hansa.example"
    given = read_config(written(tmp_path, GOOD + "trust_domain: edge.nordfjord.no\n"))
    assert given.trust_domain == "edge.nordfjord.no"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("api:", "apis:"), ":5: listen.apis: unknown key; did you mean api?"),
        (("endpoint:", "endpiont:"), ":12: partners[0].endpiont: unknown key; did you mean endpoint?"),
        (("data_dir:", "datadir:"), ":2: datadir: unknown key; did you mean data_dir?"),
        (("data_dir: state\n", ""), ":1: data_dir: is missing"),
        (("127.0.0.1:0", "localhost"), ":5: listen.api: 'localhost' is not host:port"),
        (("127.0.0.1:0", "127.0.0.1:70000"), ":5: listen.api: '127.0.0.1:70000' is not host:port"),
        (("operator: nordfjord", "operator: Nordfjord"), ":1: operator: "),
        (("operator: fjordby", "operator: nordfjord"), "is named twice"),
        (("network: network.yaml", "data_dir: again"), ":3: data_dir: given twice"),
        (("listen:", "log_level: loud\nlisten:"), ":4: log_level: "),
        (("listen:", "timings: {tick_ms: 1}\nlisten:"), ":4: timings.tick_ms: "),
        (("listen:", "timings: {lost_after_ms: 100}\nlisten:"), ":4: timings: heartbeat_interval_ms < quiet_after_ms"),
        (("listen:", "listen: ["), "not YAML"),
    ],
)
def test_an_error_has_its_line_its_field_and_the_nearest_key(
    tmp_path: Path, change: tuple[str, str], expected: str
) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    assert expected in error_of(tmp_path, text)


def test_a_key_that_is_near_nothing_gets_the_known_ones(tmp_path: Path) -> None:
    assert "known are agents, api, metrics, partners" in error_of(tmp_path, GOOD.replace("  api:", "  zzzzzz:"))


def test_an_operator_is_either_a_partner_or_merely_known(tmp_path: Path) -> None:
    twice = GOOD + "known_operators:\n  - {operator: fjordby, ca: x.pem}\n"
    assert "'fjordby' is named twice among the operator, its partners and known operators" in error_of(tmp_path, twice)


@pytest.mark.parametrize("text", ["", "- a\n", "just text"])
def test_what_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert "not a mapping" in error_of(tmp_path, text)


def test_the_environment_overrides_single_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANSA_LISTEN__API", "127.0.0.1:9999")
    monkeypatch.setenv("HANSA_LOG_LEVEL", "debug")
    config = read_config(written(tmp_path, GOOD))
    assert config.listen.api == "127.0.0.1:9999"
    assert config.listen.agents == "127.0.0.1:7444"
    assert config.log_level == "debug"


def test_a_wrong_value_of_the_environment_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANSA_LISTEN__API", "nowhere")
    assert "listen.api" in error_of(tmp_path, GOOD)
