"""The configuration file: what is read, and how what is wrong is told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import hansa_agent
import pytest
import yaml
from hansa_agent.artefacts import artefact_digest
from hansa_agent.config import AgentConfig, LoadedConfig
from hansa_agent.config_yaml import ConfigError, load_yaml

from hansa.v1.common_pb2 import FactKind

PLATFORMS = ("kubernetes", "openstack")
EXAMPLE = Path(hansa_agent.__file__).parents[1] / "agent.example.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text("print('hello')\n")
    return tmp_path


def write(folder: Path, change: dict[str, Any] | None = None, text: str | None = None) -> Path:
    content = {
        "zone": "nordfjell/osl-1",
        "operator": {"endpoints": ["localhost:1"], "tls": {"ca": "ca.pem", "cert": "a.pem", "key": "a.key"}},
        "state_dir": "state",
        "inventory": {"node": "oslo", "capacity": {"cpu_millis": 1_000, "memory_mib": 512}},
        "artefacts": [{"name": "echo", "files": ["server.py"], "command": ["./server.py", "x"]}],
        "instance": {"port_range": {"first": 20_000, "last": 20_009}},
    }
    path = folder / "agent.yaml"
    path.write_text(text if text is not None else yaml.safe_dump(content | (change or {}), sort_keys=False))
    return path


def inventory(**changes: object) -> dict[str, Any]:
    return {"inventory": {"node": "oslo", "capacity": {"cpu_millis": 1_000, "memory_mib": 512}, **changes}}


def fact(kind: str, value: object, **details: object) -> dict[str, Any]:
    times = {"valid_from": "2026-01-01T00:00:00Z", "valid_until": "2027-01-01T00:00:00Z"}
    return {"kind": kind, "value": value, "evidence": {"issuer": "a", "scheme": "b", **times}, **details}


def problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as raised:
        LoadedConfig(path)
    return raised.value.problems


def test_example_is_valid_and_names_every_key() -> None:
    config = load_yaml(EXAMPLE, AgentConfig)
    assert config.zone == "nordfjell/osl-1"
    assert [f"FACT_KIND_{fact.kind}" for fact in config.facts] == FactKind.keys()[1:]
    of_platforms = [load_yaml(path, AgentConfig) for path in EXAMPLE.parent.glob("agent.*.example.yaml")]
    named = config.model_fields_set.union(*(one.model_fields_set for one in of_platforms))
    assert [name for name in AgentConfig.model_fields if name not in named] == []
    assert set(config.instance.model_fields_set) == set(type(config.instance).model_fields)
    assert set(config.inventory.model_fields_set) == set(type(config.inventory).model_fields)
    assert set(config.probe.model_fields_set) == set(type(config.probe).model_fields)
    assert config.container is not None
    assert set(config.container.model_fields_set) == set(type(config.container).model_fields)
    assert set(type(config.operator).model_fields) - set(config.operator.model_fields_set) == {"mqtt"}


def test_example_of_mqtt_is_valid_and_names_every_key_of_it() -> None:
    operator = load_yaml(EXAMPLE.with_name("agent.mqtt.example.yaml"), AgentConfig).operator
    assert operator.mqtt is not None
    assert set(operator.mqtt.model_fields_set) == set(type(operator.mqtt).model_fields)


def test_example_is_read_without_any_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first reader has hansa[agent] alone, and is to be told what is missing of the reader's own files, no more."""
    for package in ("aiomqtt", "kubernetes", "openstack"):
        monkeypatch.setitem(sys.modules, package, None)
    content = yaml.safe_load(EXAMPLE.read_text()) | {"artefacts": []}
    assert LoadedConfig(write(tmp_path, text=yaml.safe_dump(content))).config.zone == "nordfjell/osl-1"
    content["operator"]["mqtt"] = {"brokers": ["mqtt.nordfjell.example:8883"]}
    (told,) = problems(write(tmp_path, text=yaml.safe_dump(content)))
    assert "pip install 'hansa[mqtt]'" in told


@pytest.mark.parametrize("platform", PLATFORMS)
def test_example_of_a_platform_is_valid_and_names_every_key_of_it(platform: str) -> None:
    config = load_yaml(EXAMPLE.with_name(f"agent.{platform}.example.yaml"), AgentConfig)
    assert config.runtime == platform
    section = getattr(config, platform)
    assert set(section.model_fields_set) == set(type(section).model_fields)


def test_platform_without_its_section_is_refused(folder: Path) -> None:
    image = {"name": "ocr", "image": "registry.nordavind.example/ocr@sha256:" + "a" * 64}
    told = problems(write(folder, {"runtime": "kubernetes", "artefacts": [image]}))
    assert "runtime 'kubernetes' needs the section 'kubernetes'" in told[0]


def test_paths_count_from_the_folder_of_the_file(folder: Path) -> None:
    loaded = LoadedConfig(write(folder))
    artefact = loaded.artefacts["echo"]
    assert loaded.state_dir == folder / "state"
    assert artefact.command == (str(folder / "server.py"), "x")
    assert artefact.digest == artefact_digest([folder / "server.py"])


def test_unknown_key_is_told_with_line_and_nearest_key(folder: Path) -> None:
    path = write(folder)
    lines = path.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "first:" in text)
    path.write_text(path.read_text().replace("first:", "frist:"))
    told = problems(path)
    assert f"{path}:{line}: unknown key 'instance.port_range.frist'; did you mean 'first'?" in told


def test_unknown_key_within_a_list_is_told_with_its_line(folder: Path) -> None:
    path = write(folder, {"artefacts": [{"name": "echo", "files": ["server.py"], "comand": ["x"]}]})
    line = next(number for number, text in enumerate(path.read_text().splitlines(), 1) if "comand" in text)
    assert any(f":{line}: unknown key 'artefacts.0.comand'; did you mean 'command'?" in each for each in problems(path))


def test_unknown_key_like_no_other_gets_no_suggestion(folder: Path) -> None:
    assert problems(write(folder, {"zzz": 1}))[0].endswith("unknown key 'zzz'")


def test_every_problem_is_told_at_once(folder: Path) -> None:
    told = problems(write(folder, {"zone": "nowhere", "probe": {"count": 0}, "log_level": "loud"}))
    assert len(told) == 3


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("zone: a/b\nzone: c/d\n", "agent.yaml:2: 'zone' is given twice"),
        ("zone: [a\n", "agent.yaml:2:"),
        ("- a\n- b\n", "valid dictionary"),
        ("", "valid dictionary"),
        ("zone: !!python/object/apply:os.system ['true']\n", "agent.yaml:1: could not determine a constructor"),
        ("zone: 2026-02-30\n", "day is out of range"),
        ("? [a]\n: b\n", "it cannot be read"),
        ("zone: \x07\n", "special characters are not allowed"),
        ("[" * 3_000, "it cannot be read"),
        ("zone: !!timestamp x\n", "it cannot be read"),
    ],
)
def test_text_that_is_no_configuration_is_told_by_line(folder: Path, text: str, what: str) -> None:
    assert what in problems(write(folder, text=text))[0]


def test_missing_and_undecodable_files_are_told(tmp_path: Path) -> None:
    assert "No such file" in problems(tmp_path / "none.yaml")[0]
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\xff")
    assert "bad.yaml" in problems(tmp_path / "bad.yaml")[0]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"inventory": {"node": "oslo"}}, "source 'file' needs a capacity"),
        (
            {"inventory": {"node": "o", "source": "machine", "capacity": {"cpu_millis": 1, "memory_mib": 1}}},
            "source 'machine' finds",
        ),
        ({"instance": {"port_range": {"first": 5, "last": 4}}}, "last is below first"),
        ({"zone": "Nordfjell"}, "zone"),
        ({"probe": {"listen": "nowhere"}}, "an address is host:port"),
        ({"facts": [{"kind": "SHOE_SIZE", "value": "44"}]}, "one of SITE_COUNTRY"),
        (inventory(failure_domain="Hall 2"), "inventory.failure_domain"),
        (inventory(device_watts=-1), "inventory.device_watts"),
        ({"runtime": "container", "artefacts": []}, "needs a section 'container', which may be empty"),
        ({"runtime": "container", "container": {}}, "the runtime 'container' needs an image"),
        ({"container": {"user": "root"}}, "container.user"),
        ({"container": {"devices": {"nvidia/L4": ["gpu0"]}}}, "'gpu0' is no CDI name"),
        ({"container": {"devices": {"a/B": ["n.com/gpu=0"], "a/C": ["n.com/gpu=0"]}}}, "named twice"),
        (inventory(device_watts=100_001), "less than or equal to 100000"),
    ],
)
def test_contradictions_are_told(folder: Path, change: dict[str, Any], what: str) -> None:
    assert any(what in each for each in problems(write(folder, change)))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("OPERATION_COUNTRY", "SE"),
        ("FOREIGN_SHARE_PERCENT", "24.5"),
        ("FOREIGN_SHARE_PERCENT", 12),
        ("EXTRATERRITORIAL_LAW", "none"),
        ("EXTRATERRITORIAL_LAW", "US-CLOUD-ACT"),
        ("PERSONNEL_CLEARANCE", "STRENGT HEMMELIG"),
        ("ATTESTATION", "intel-tdx"),
        ("CERTIFICATION", "ISO-27001"),
        ("CARBON_GCO2_PER_KWH", 19),
        ("CARBON_GCO2_PER_KWH", "0"),
        ("RENEWABLE_PERCENT", 100),
    ],
)
def test_facts_of_every_kind_are_read_as_text(folder: Path, kind: str, value: object) -> None:
    (read,) = LoadedConfig(write(folder, {"facts": [fact(kind, value)]})).config.facts
    assert (read.kind, read.value, read.version, read.level) == (kind, str(value), "", "")


def test_only_a_certification_has_a_version_and_a_level(folder: Path) -> None:
    changed = {"facts": [fact("CERTIFICATION", "C5", version=2020, level="type 2")]}
    (read,) = LoadedConfig(write(folder, changed)).config.facts
    assert (read.version, read.level) == ("2020", "type 2")
    (told,) = problems(write(folder, {"facts": [fact("ATTESTATION", "intel-tdx", level="high")]}))
    assert "ATTESTATION has no version and no level" in told


@pytest.mark.parametrize(
    ("kind", "value", "what"),
    [
        ("OPERATION_COUNTRY", "UK", "did you mean GB?"),
        ("SUPPORT_COUNTRY", "EU", "no country code"),
        ("SITE_COUNTRY", False, 'write it in quotes, for example "NO"'),
        ("FOREIGN_SHARE_PERCENT", "101", "percentage from 0 to 100"),
        ("FOREIGN_SHARE_PERCENT", "1.234", "at most two decimals"),
        ("EXTRATERRITORIAL_LAW", "us cloud act", "did you mean US-CLOUD-ACT?"),
        ("ATTESTATION", "Intel_TDX", "did you mean intel-tdx?"),
        ("PERSONNEL_CLEARANCE", "\t", "no name"),
        ("CERTIFICATION", "x" * 64, "no name"),
        ("CARBON_GCO2_PER_KWH", 19.5, "no whole number"),
        ("CARBON_GCO2_PER_KWH", -1, "no whole number"),
        ("CARBON_GCO2_PER_KWH", "9" * 5_000, "nearest valid: 10000"),
        ("RENEWABLE_PERCENT", 101, "nearest valid: 100"),
    ],
)
def test_a_fact_is_refused_when_its_value_does_not_fit_its_kind(
    folder: Path, kind: str, value: object, what: str
) -> None:
    (told,) = problems(write(folder, {"facts": [fact(kind, value)]}))
    assert what in told and "facts.0" in told


def test_time_without_an_offset_is_refused(folder: Path) -> None:
    evidence = {"issuer": "a", "scheme": "b", "valid_from": "2026-01-01", "valid_until": "2026-01-01T00:00:00Z"}
    told = problems(write(folder, {"facts": [{"kind": "SITE_COUNTRY", "value": "NO", "evidence": evidence}]}))
    assert len(told) == 1 and "facts.0.evidence.valid_from" in told[0]


@pytest.mark.parametrize("name", ["PATH", "HANSA_TLS_KEY", "HOME"])
def test_artefact_may_not_set_what_the_agent_sets(folder: Path, name: str) -> None:
    artefact = {"name": "echo", "files": ["server.py"], "command": ["x"], "env": {name: "x"}}
    assert any(f"{name} is set by the agent" in each for each in problems(write(folder, {"artefacts": [artefact]})))


def test_artefact_with_another_digest_than_written_is_refused(folder: Path) -> None:
    digest = "sha256:" + "0" * 64
    artefact = {"name": "echo", "files": ["server.py"], "command": ["x"], "digest": digest}
    told = problems(write(folder, {"artefacts": [artefact]}))
    assert "has digest sha256:" in told[0] and digest in told[0]
    artefact["digest"] = artefact_digest([folder / "server.py"])
    assert LoadedConfig(write(folder, {"artefacts": [artefact]})).artefacts["echo"].digest == artefact["digest"]


def test_artefact_named_twice_or_without_its_file_is_refused(folder: Path) -> None:
    artefact = {"name": "echo", "files": ["server.py"], "command": ["x"]}
    assert "named twice" in problems(write(folder, {"artefacts": [artefact, artefact]}))[0]
    absent = artefact | {"files": ["absent.py"]}
    assert "absent.py: No such file" in problems(write(folder, {"artefacts": [absent]}))[0]


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ({"kind": "agent", "name": "bergen"}, "operator/zone"),
        ({"kind": "gateway", "name": "svea/sto-1"}, "node of the network"),
        ({"kind": "router", "name": "bergen"}, "targets.0.kind"),
        ({"kind": "gateway", "name": "bergen", "address": "nowhere"}, "host:port"),
        ({"kind": "gateway", "name": "bergen", "key_as": "bergen"}, "targets.0.key_as"),
    ],
)
def test_probe_target_that_is_no_such_thing_is_refused(folder: Path, target: dict[str, Any], why: str) -> None:
    given = {"address": "192.0.2.1:862"} | target
    assert why in problems(write(folder, {"probe": {"targets": [given]}}))[0]


def test_probe_target_that_is_named_twice_is_refused(folder: Path) -> None:
    twice = [{"kind": kind, "name": "bergen", "address": "192.0.2.1:862"} for kind in ("gateway", "access_point")]
    assert "'bergen' is named twice" in problems(write(folder, {"probe": {"targets": twice}}))[0]
