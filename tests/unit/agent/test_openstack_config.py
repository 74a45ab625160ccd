"""The configuration of a zone on OpenStack: its example, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import hansa_agent
import pytest
import yaml
from hansa_agent.config import AgentConfig
from hansa_agent.config_openstack import OpenStackSection, ServerSection
from hansa_agent.config_yaml import ConfigError, load_yaml
from hansa_agent.main import EXIT_CONFIG
from hansa_agent.openstack_api import OpenStackApi

EXAMPLE = Path(hansa_agent.__file__).parents[1] / "agent.openstack.example.yaml"


def written(folder: Path, **changes: Any) -> Path:
    content = yaml.safe_load(EXAMPLE.read_text()) | changes
    path = folder / "agent.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in content.items() if value is not None}))
    return path


def test_example_names_every_key_of_its_sections() -> None:
    config = load_yaml(EXAMPLE, AgentConfig)
    assert config.openstack is not None and config.openstack.server is not None
    assert config.openstack.model_fields_set == set(OpenStackSection.model_fields)
    assert config.openstack.server.model_fields_set == set(ServerSection.model_fields)
    (share,) = config.openstack.accelerators
    assert share.model_fields_set == set(type(share).model_fields)


@pytest.mark.parametrize("changes", [{"runtime": "openstack"}, {"runtime": "process", "artefacts": []}])
def test_platform_without_its_section_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a section 'openstack' is needed"):
        load_yaml(written(tmp_path, openstack=None, **changes), AgentConfig)


def test_runtime_needs_to_know_what_servers_are_made_of(tmp_path: Path) -> None:
    section = yaml.safe_load(EXAMPLE.read_text())["openstack"]
    del section["server"]
    with pytest.raises(ConfigError, match=r"needs openstack\.server"):
        load_yaml(written(tmp_path, openstack=section), AgentConfig)
    config = load_yaml(written(tmp_path, openstack=section, runtime="process", artefacts=[]), AgentConfig)
    assert config.inventory.source == "openstack", "the inventory alone does without"


def test_servers_that_run_commands_need_one_of_every_artefact(tmp_path: Path) -> None:
    content = yaml.safe_load(EXAMPLE.read_text())
    content["openstack"]["server"]["start"] = "command"
    load_yaml(written(tmp_path, openstack=content["openstack"]), AgentConfig)
    del content["artefacts"][0]["command"]
    load_yaml(written(tmp_path, artefacts=content["artefacts"]), AgentConfig)
    with pytest.raises(ConfigError, match=r"artefacts\.0: openstack\.server\.start 'command' needs a command"):
        load_yaml(written(tmp_path, openstack=content["openstack"], artefacts=content["artefacts"]), AgentConfig)


def test_what_the_cloud_finds_is_not_written_down_as_well(tmp_path: Path) -> None:
    inventory = yaml.safe_load(EXAMPLE.read_text())["inventory"]
    inventory["capacity"] = {"cpu_millis": 1, "memory_mib": 1}
    with pytest.raises(ConfigError, match="source 'openstack' finds capacity and pools itself"):
        load_yaml(written(tmp_path, inventory=inventory), AgentConfig)


def test_clouds_file_or_cloud_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"clouds\.yaml is no file"):
        OpenStackApi(tmp_path / "clouds.yaml", "edge", 1.0)
    (tmp_path / "clouds.yaml").write_text("clouds: {other: {auth: {auth_url: http://localhost/v3}}}\n")
    with pytest.raises(ConfigError, match=r"openstack\.cloud: .*edge"):
        OpenStackApi(tmp_path / "clouds.yaml", "edge", 1.0)


def test_agent_without_its_clouds_file_says_so_and_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hansa_agent.main", "serve", "--config", str(written(tmp_path))]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == EXIT_CONFIG
    assert "clouds.yaml is no file" in ended.stderr and "Traceback" not in ended.stderr
