"""What the services of the test's own OpenStack are told: files by path below the data folder, all on loopback."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PASSWORD = "secret"
SERVICES = ("placement", "glance", "nova", "neutron")
PCI_VENDOR, PCI_PRODUCT = "10de", "2330"
TOKEN_CACHE_S = 3
READER_ROLE = "hansa-inventory"
"""What an agent's user needs beside `member`; docs/agents-openstack.md grants it the same reads."""


@dataclass(frozen=True)
class Ports:
    """Where everybody listens, on 127.0.0.1."""

    keystone: int
    placement: int
    glance: int
    nova: int
    neutron: int
    postgres: int
    rabbit: int
    rabbit_distribution: int
    epmd: int


@dataclass(frozen=True)
class Site:
    """One cloud: its data folder, its ports, and whether there are virtual machines in it."""

    folder: Path
    ports: Ports
    full: bool

    def url(self, service: str) -> str:
        suffix = {"keystone": "/v3", "nova": "/v2.1"}.get(service, "")
        return f"http://127.0.0.1:{getattr(self.ports, service)}{suffix}"

    def database(self, name: str) -> str:
        if self.full:
            return f"postgresql+psycopg2://postgres@127.0.0.1:{self.ports.postgres}/{name}"
        return f"sqlite:///{self.folder}/{name}.sqlite"

    def rabbit(self) -> str:
        return f"rabbit://guest:guest@127.0.0.1:{self.ports.rabbit}/"


def files(site: Site) -> Mapping[str, str]:
    """Configuration files by path below ``site.folder``."""
    written = {"keystone/keystone.conf": _keystone(site), "placement/placement.conf": _placement(site)}
    written["placement/policy.yaml"] = _placement_policy()
    if site.full:
        written |= {
            "glance/glance-api.conf": _glance(site),
            "nova/nova.conf": _nova(site),
            "nova/provider_config/gpus.yaml": _PROVIDER_CONFIG,
            "neutron/neutron.conf": _neutron(site),
        }
    return written


def compute_file(site: Site, host: str) -> str:
    """What one nova-compute adds to nova.conf."""
    return f"[DEFAULT]\nhost = {host}\nstate_path = {site.folder}/{host}\n"


def _section(name: str, **options: object) -> str:
    return "\n".join([f"[{name}]", *(f"{key} = {value}" for key, value in options.items()), ""])


def _user(site: Site, name: str) -> dict[str, object]:
    return {
        "auth_url": site.url("keystone"),
        "auth_type": "password",
        "username": name,
        "password": PASSWORD,
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }


def _tokens(site: Site, name: str) -> str:
    """How a service checks tokens. It remembers them for seconds, or Keystone would do most of the cloud's work."""
    return _section(
        "keystone_authtoken",
        www_authenticate_uri=site.url("keystone"),
        **_user(site, name),
        service_token_roles_required="true",
        service_token_roles="service",
        token_cache_time=TOKEN_CACHE_S,
    )


def _keystone(site: Site) -> str:
    return "".join(
        (
            _section("database", connection=site.database("keystone")),
            _section("cache", enabled="true", backend="oslo_cache.dict"),
            _section("token", provider="fernet"),
            _section("fernet_tokens", key_repository=site.folder / "fernet"),
            _section("fernet_receipts", key_repository=site.folder / "fernet"),
            _section("credential", key_repository=site.folder / "credential"),
            _section("identity", password_hash_algorithm="bcrypt", password_hash_rounds=4),
        )
    )


def _placement(site: Site) -> str:
    return "".join(
        (
            _section("api", auth_strategy="keystone"),
            _section("placement_database", connection=site.database("placement")),
            _section("oslo_policy", policy_file="policy.yaml"),
            _tokens(site, "placement"),
        )
    )


def _placement_policy() -> str:
    """Reads for the inventory role, beside those who may by default."""
    paths = ("resource_providers:list", "resource_providers:inventories:list", "resource_providers:traits:list")
    reads = (*paths, "resource_providers:allocations:list", "resource_providers:aggregates:list")
    rule = f"rule:admin_or_service_api or role:{READER_ROLE}"
    return "".join(f'"placement:{read}": "{rule}"\n' for read in reads)


def _glance(site: Site) -> str:
    images = site.folder / "images"
    return "".join(
        (
            _section("DEFAULT", enabled_backends="fs:file"),
            _section("database", connection=site.database("glance")),
            _section("glance_store", default_backend="fs", filesystem_store_datadir=images),
            _section("fs", filesystem_store_datadir=images),
            _section("paste_deploy", flavor="keystone", config_file=site.folder / "glance/glance-api-paste.ini"),
            _tokens(site, "glance"),
        )
    )


def _nova(site: Site) -> str:
    user = {**_user(site, "nova"), "region_name": "RegionOne"}
    gpu = '"resource_class":"CUSTOM_PCI_GPU_H100"'
    device = f'{{"vendor_id":"{PCI_VENDOR}","product_id":"{PCI_PRODUCT}",{gpu},"traits":"CUSTOM_NVLINK"}}'
    return "".join(
        (
            _section(
                "DEFAULT",
                transport_url=site.rabbit(),
                my_ip="127.0.0.1",
                state_path=site.folder / "nova",
                compute_driver="hansa_gpus.GpuDriver",
                reclaim_instance_interval=0,
                update_resources_interval=10,
                periodic_fuzzy_delay=0,
                report_interval=2,
                service_down_time=8,
                sync_power_state_interval=5,
            ),
            _section("api_database", connection=site.database("nova_api")),
            _section("database", connection=site.database("nova")),
            _section("oslo_concurrency", lock_path=site.folder / "nova/lock"),
            _section("placement", **user),
            _section("glance", **user, endpoint_override=site.url("glance")),
            _section("neutron", **user),
            _section("service_user", **user, send_service_user_token="true"),
            _section("scheduler", workers=1, discover_hosts_in_cells_interval=2),
            _section("conductor", workers=1),
            _section(
                "compute",
                provider_config_location=site.folder / "nova/provider_config",
                resource_provider_association_refresh=10,
            ),
            _section("filter_scheduler", pci_in_placement="true"),
            _section(
                "pci",
                report_in_placement="true",
                device_spec=device,
                alias='{"name":"h100","device_type":"type-PCI","resource_class":"CUSTOM_PCI_GPU_H100"}',
            ),
            _section("cinder", catalog_info="volumev3::publicURL"),
            _section("vnc", enabled="false"),
            _tokens(site, "nova"),
        )
    )


_PROVIDER_CONFIG = """\
meta: {schema_version: '1.0'}
providers:
  - identification: {uuid: '$COMPUTE_NODE'}
    inventories:
      additional:
        - CUSTOM_GPU_A100_40G: {total: 8, reserved: 1, min_unit: 1, max_unit: 8, step_size: 1, allocation_ratio: 1.0}
    traits:
      additional: [CUSTOM_GPU_A100]
"""


def _neutron(site: Site) -> str:
    return "".join(
        (
            _section(
                "DEFAULT",
                transport_url=site.rabbit(),
                core_plugin="ml2",
                service_plugins="",
                auth_strategy="keystone",
                state_path=site.folder / "neutron",
                api_paste_config=site.folder / "neutron/api-paste.ini",
                notify_nova_on_port_status_changes="false",
                notify_nova_on_port_data_changes="false",
                api_workers=1,
                rpc_workers=0,
                rpc_state_report_workers=0,
            ),
            _section(
                "ml2",
                type_drivers="local,flat",
                tenant_network_types="local",
                mechanism_drivers="",
                extension_drivers="",
            ),
            _section("database", connection=site.database("neutron")),
            _section("oslo_concurrency", lock_path=site.folder / "neutron/lock"),
            _tokens(site, "neutron"),
        )
    )
