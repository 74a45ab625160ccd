"""The two ports to a zone that is a Kubernetes cluster, put together; loaded only where the configuration asks."""

from __future__ import annotations

import importlib
import math

from hansa_agent.check import Check, Finding, problem
from hansa_agent.config import LoadedConfig
from hansa_agent.config_kubernetes import KubernetesSection
from hansa_agent.config_yaml import ConfigError
from hansa_agent.instance_store import InstanceStore
from hansa_agent.kubernetes.api import KubernetesApi
from hansa_agent.kubernetes.check import ClusterLook, check_cluster, check_instances_of
from hansa_agent.kubernetes.connection import connector
from hansa_agent.kubernetes.follower import Outside
from hansa_agent.kubernetes.rights import rights_for
from hansa_agent.kubernetes.runtime import KubernetesRuntime
from hansa_agent.kubernetes.source import KubernetesSource
from hansa_agent.strays import Strays
from hansa_agent.system import SystemClock, SystemRandom


def cluster_source(loaded: LoadedConfig) -> KubernetesSource:
    """What the cluster has; raises ``ConfigError`` where its package is not installed."""
    section = _section(loaded)
    return KubernetesSource(section, loaded.config.zone, _api(loaded, section), Outside(SystemClock(), SystemRandom()))


def cluster_runtime(loaded: LoadedConfig, store: InstanceStore, strays: Strays) -> KubernetesRuntime:
    """What runs on the cluster; ``strays`` is told what no record names there. Raises ``ConfigError`` where its package
    is not installed.
    """
    section = _section(loaded)
    outside = Outside(SystemClock(), SystemRandom())
    runtime = KubernetesRuntime(section, loaded.config.zone, _api(loaded, section), store, outside)
    runtime.artefacts = loaded.artefacts
    runtime.strays = strays
    runtime.stop_grace_s = math.ceil(loaded.config.instance.stop_grace_s)
    return runtime


def cluster_check(loaded: LoadedConfig) -> Check:
    """What ``hansa-agent check`` looks at on the cluster."""

    async def check() -> list[Finding]:
        try:
            section = _section(loaded)
        except ConfigError as error:
            return [problem("cluster", "; ".join(error.problems))]
        config, api = loaded.config, _api(loaded, section)
        used = {"inventory": config.inventory.source == "kubernetes", "runtime": config.runtime == "kubernetes"}
        try:
            rights = tuple(rights_for(section, **used))
            found = await check_cluster(ClusterLook(api, section, SystemClock()), rights)
            return found + (check_instances_of(section, loaded.artefacts.values()) if used["runtime"] else [])
        finally:
            await api.close()

    return check


def _section(loaded: LoadedConfig) -> KubernetesSection:
    try:
        importlib.import_module("kubernetes.aio")
    except ImportError as error:
        problem = f"{loaded.path}: kubernetes needs its package: pip install 'hansa[kubernetes]'"
        raise ConfigError([problem]) from error
    assert loaded.config.kubernetes is not None  # noqa: S101 - demanded by the configuration
    return loaded.config.kubernetes


def _api(loaded: LoadedConfig, section: KubernetesSection) -> KubernetesApi:
    kubeconfig = None if section.kubeconfig is None else loaded.base / section.kubeconfig
    return KubernetesApi(connector(kubeconfig, section.context), section.request_timeout_s)
