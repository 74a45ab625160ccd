"""The two ports to an OpenStack zone, put together. Imported only where a configuration asks for one of them."""

from __future__ import annotations

from hansa_agent.config import LoadedConfig
from hansa_agent.config_openstack import OpenStackSection
from hansa_agent.instance_store import InstanceStore
from hansa_agent.inventory_openstack import OpenStackSource, Outside
from hansa_agent.openstack_api import OpenStackApi
from hansa_agent.runtime_openstack import OpenStackRuntime, ServerSettings
from hansa_agent.strays import Strays
from hansa_agent.system import SystemClock, SystemRandom


def openstack_source(loaded: LoadedConfig) -> OpenStackSource:
    """The inventory; raises ``ConfigError``."""
    section = _section(loaded)
    outside = Outside(_api(loaded, section), SystemClock(), SystemRandom())
    return OpenStackSource(section, loaded.config.zone, outside)


def openstack_runtime(loaded: LoadedConfig, store: InstanceStore, strays: Strays) -> OpenStackRuntime:
    """The runtime; raises ``ConfigError``."""
    section, tls = _section(loaded), loaded.config.instance.tls
    assert section.server is not None  # noqa: S101 - the configuration was validated
    settings = ServerSettings(
        loaded.config.zone,
        section,
        section.server,
        loaded.base / tls.cert if tls else None,
        loaded.base / tls.key if tls else None,
    )
    outside = Outside(_api(loaded, section), SystemClock(), SystemRandom())
    runtime = OpenStackRuntime(loaded.artefacts, settings, store, outside)
    runtime.leftovers.strays = strays
    return runtime


def _section(loaded: LoadedConfig) -> OpenStackSection:
    assert loaded.config.openstack is not None  # noqa: S101 - the configuration was validated
    return loaded.config.openstack


def _api(loaded: LoadedConfig, section: OpenStackSection) -> OpenStackApi:
    return OpenStackApi(loaded.base / section.clouds_file, section.cloud, section.timeout_s)
