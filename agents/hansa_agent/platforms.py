"""The two ports to what a zone runs on, an inventory source and a runtime, as the configuration asks for them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Protocol

from hansa_agent.artefacts import Artefact
from hansa_agent.check import Check
from hansa_agent.config import LoadedConfig
from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory import FileSource
from hansa_agent.ports import Clock, InventorySource, Random, Runtime
from hansa_agent.runtime_process import ProcessRuntime
from hansa_agent.strays import Strays


class AllowingRuntime(Runtime, Protocol):
    """A runtime whose allowed artefacts may be replaced while instances run."""

    artefacts: Mapping[str, Artefact]


def source_of(loaded: LoadedConfig, clock: Clock) -> InventorySource:
    """Where the zone's inventory comes from."""
    section = loaded.config.inventory
    if section.source == "kubernetes":
        from hansa_agent.platform_kubernetes import cluster_source

        return cluster_source(loaded)
    if section.source == "openstack":
        from hansa_agent.openstack_platform import openstack_source

        return openstack_source(loaded)
    if section.source == "machine":
        from hansa_agent.inventory_machine import MachineSource

        return MachineSource(clock)
    return FileSource(section)


def runtime_of(
    loaded: LoadedConfig, store: InstanceStore, clock: Clock, random: Random, strays: Strays | None = None
) -> AllowingRuntime:
    """What the zone's instances run on; ``strays`` is told what is there and in no record."""
    strays = strays or Strays()
    if loaded.config.runtime == "openstack":
        from hansa_agent.openstack_platform import openstack_runtime

        return openstack_runtime(loaded, store, strays)
    if loaded.config.runtime == "kubernetes":
        from hansa_agent.platform_kubernetes import cluster_runtime

        return cluster_runtime(loaded, store, strays)
    config, settings = loaded.config, loaded.instance_settings()
    if config.runtime == "container" and config.container is not None:
        from hansa_agent.runtime_container import Around, ContainerRuntime

        around = Around(config.zone, clock, random, strays)
        return ContainerRuntime(loaded.artefacts, config.container, settings, store, around)
    return ProcessRuntime(loaded.artefacts, settings, store)


def checks_of(loaded: LoadedConfig, clock: Clock) -> tuple[Check, ...]:
    """What ``hansa-agent check`` has to look at on the platform that the zone is read from or runs on."""
    config = loaded.config
    checks: list[Check] = []
    if "openstack" in (config.inventory.source, config.runtime):
        from hansa_agent.openstack_check import check_cloud

        checks.append(functools.partial(check_cloud, loaded, clock))
    if "kubernetes" in (config.inventory.source, config.runtime):
        from hansa_agent.platform_kubernetes import cluster_check

        checks.append(cluster_check(loaded))
    if config.runtime == "container" and config.container is not None:
        from hansa_agent.container_check import check_engine

        checks.append(functools.partial(check_engine, config.container, list(loaded.artefacts.values())))
    return tuple(checks)
