"""The two ports to what a zone runs on, an inventory source and a runtime, as the configuration asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from hansa_agent.artefacts import Artefact
from hansa_agent.config import LoadedConfig
from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory import FileSource
from hansa_agent.inventory_machine import MachineSource
from hansa_agent.ports import InventorySource, Runtime
from hansa_agent.runtime_process import ProcessRuntime


class AllowingRuntime(Runtime, Protocol):
    """A runtime whose allowed artefacts may be replaced while instances run."""

    artefacts: Mapping[str, Artefact]


def source_of(loaded: LoadedConfig) -> InventorySource:
    """Where the zone's inventory comes from."""
    section = loaded.config.inventory
    if section.source == "openstack":
        from hansa_agent.openstack_platform import openstack_source

        return openstack_source(loaded)
    return MachineSource() if section.source == "machine" else FileSource(section)


def runtime_of(loaded: LoadedConfig, store: InstanceStore) -> AllowingRuntime:
    """What the zone's instances run on."""
    if loaded.config.runtime == "openstack":
        from hansa_agent.openstack_platform import openstack_runtime

        return openstack_runtime(loaded, store)
    return ProcessRuntime(loaded.artefacts, loaded.instance_settings(), store)
