"""Every read that an agent makes of a cloud, and the rule of the cloud's policy that lets it. Pure.

The rules' names are those of the services' own documentation (docs.openstack.org, "Policies").
"""

from __future__ import annotations

from dataclasses import dataclass

WRITER_ROLES = frozenset({"member", "manager", "admin"})
"""Roles that may make and delete servers by Nova's default policies. Nova has no way to ask without doing it."""


@dataclass(frozen=True, slots=True)
class Right:
    """One read: what it shows, where it is asked, and its rule.

    ``needs`` says what for: the "inventory", the "runtime" or both. ``is_default``: a member of the project fits the
    rule unless the cloud's operator has changed it. The agent does without one that is ``optional``. ``path`` may have
    {provider}, the id of a resource provider.
    """

    what: str
    service: str
    path: str
    rule: str
    needs: str = "both"
    is_default: bool = True
    optional: bool = False


_PROVIDER = "/resource_providers/{provider}"
READS = (
    Right(
        "resource providers",
        "placement",
        "/resource_providers",
        "placement:resource_providers:list",
        "inventory",
        is_default=False,
    ),
    Right(
        "inventories",
        "placement",
        f"{_PROVIDER}/inventories",
        "placement:resource_providers:inventories:list",
        "inventory",
        is_default=False,
    ),
    Right(
        "traits",
        "placement",
        f"{_PROVIDER}/traits",
        "placement:resource_providers:traits:list",
        "inventory",
        is_default=False,
    ),
    Right(
        "what is held",
        "placement",
        f"{_PROVIDER}/allocations",
        "placement:resource_providers:allocations:list",
        "inventory",
        is_default=False,
    ),
    Right("servers", "compute", "/servers/detail?limit=1", "os_compute_api:servers:detail"),
    Right("the project's quota", "compute", "/limits", "os_compute_api:limits"),
    Right("flavors", "compute", "/flavors/detail?limit=1", "os_compute_api:flavors", "runtime"),
    Right("server groups", "compute", "/os-server-groups", "os_compute_api:os-server-groups:index", "runtime"),
    Right("images", "image", "/v2/images?limit=1", "get_images", "runtime"),
    Right(
        "hosts that are down",
        "compute",
        "/os-services?binary=nova-compute",
        "os_compute_api:os-services:list",
        "inventory",
        is_default=False,
        optional=True,
    ),
)
