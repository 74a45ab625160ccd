"""Which flavor is chosen, and what accelerators mean: words of the platform into pools and back."""

from __future__ import annotations

from typing import Any

import pytest
from hansa_agent.accelerator_kinds import Kind, is_accelerator, kind_in, kind_of
from hansa_agent.config_openstack import AcceleratorSection
from hansa_agent.inventory_openstack import kinds_by
from hansa_agent.openstack_flavors import UNKNOWN, Flavor, NoFlavor, accelerators, chosen

from hansa.v1.common_pb2 import Capacity, PoolAmount


def flavor(name: str, cpus: int = 1, memory_mib: int = 1_024, **specs: str) -> Flavor:
    return Flavor(
        f"id-{name}", name, cpus, memory_mib, 0, {key.replace("__", ":"): told for key, told in specs.items()}
    )


def limits(cpu_millis: int = 500, memory_mib: int = 512, **gpus: int) -> Capacity:
    amounts = [PoolAmount(pool=f"nvidia/{model}", count=count) for model, count in gpus.items()]
    return Capacity(cpu_millis=cpu_millis, memory_mib=memory_mib, accelerators=amounts)


def choose(flavors: list[Flavor], wanted: Capacity, **options: Any) -> str:
    return chosen(flavors, wanted, kind_of, **({"names": "", "cpu_class": "VCPU"} | options)).name


def test_smallest_that_fits_is_chosen_by_processors_memory_disk_and_name() -> None:
    flavors = [flavor("big", 8, 8_192), flavor("b", 2, 2_048), flavor("a", 2, 2_048), flavor("tiny", 1, 256)]
    assert choose(flavors, limits(1_001, 2_048)) == "a"
    assert choose(flavors, limits(2_001, 0)) == "big"


def test_flavor_with_accelerators_is_never_used_up_for_an_order_without() -> None:
    flavors = [flavor("gpu", 1, resources__PGPU="1", trait__CUSTOM_GPU_L4="required"), flavor("plain", 4)]
    assert choose(flavors, limits()) == "plain"
    assert choose(flavors, limits(L4=1)) == "gpu"
    with pytest.raises(NoFlavor, match="2 nvidia/L4: none of 2 has these accelerators"):
        choose(flavors, limits(L4=2))


def test_every_spelling_of_accelerators_is_understood() -> None:
    traits = {"resources2__PGPU": "2", "trait2__CUSTOM_GPU_NVIDIA_L40S": "required"}
    assert accelerators(flavor("a", **traits), kind_of) == {"nvidia/L40S": 2}
    assert accelerators(flavor("b", resources__CUSTOM_GPU_A100_80G="1"), kind_of) == {"nvidia/A100": 1}
    assert accelerators(flavor("c", pci_passthrough__alias="h100:2, l4:1"), kind_of) == {
        "nvidia/H100": 2,
        "nvidia/L4": 1,
    }
    assert accelerators(flavor("SCS-16V-128-100p_GNg-132-141h"), kind_of) == {"nvidia/H200": 1}
    assert accelerators(flavor("SCS-16V-128"), kind_of) == {}


def test_accelerators_that_nobody_knows_are_never_taken_for_some_that_are_wanted() -> None:
    flavors = [
        flavor("no-trait", resources__PGPU="1"),
        flavor("share", resources__VGPU="1"),
        flavor("alias", pci_passthrough__alias="fast:1"),
        flavor("SCS-2V-4_gNa-14"),
    ]
    for one in flavors:
        assert accelerators(one, kind_of) == {UNKNOWN: 1}
    with pytest.raises(NoFlavor):
        choose(flavors, limits())


def test_pattern_and_class_of_processors_bound_what_may_be_used() -> None:
    flavors = [flavor("m1.tiny"), flavor("SCS-1V-1"), flavor("SCS-1C-1", hw__cpu_policy="dedicated")]
    assert choose(flavors, limits(), names="SCS-*") == "SCS-1V-1"
    assert choose(flavors, limits(), names="SCS-*", cpu_class="PCPU") == "SCS-1C-1"
    with pytest.raises(NoFlavor, match=r"the largest, m1\.tiny, has 1 CPUs and 1024 MiB"):
        choose(flavors, limits(64_000), names="m1.*")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("CUSTOM_GPU_A100_40G", Kind("nvidia", "A100", 40_960)),
        ("CUSTOM_GPU_A100_80GB", Kind("nvidia", "A100", 81_920)),
        ("CUSTOM_GPU_A100", Kind("nvidia", "A100", 40_960)),
        ("CUSTOM_PCI_GPU_H100", Kind("nvidia", "H100", 81_559)),
        ("CUSTOM_PCI_10DE_20B5", Kind("nvidia", "A100", 81_920)),
        ("CUSTOM_PCI_10DE_2335", Kind("nvidia", "H200", 143_771)),
        ("CUSTOM_GPU_H100_MIG_1G_10GB", Kind("nvidia", "H100", 9_536, "1g.10gb")),
        ("CUSTOM_GPU_X9000", None),
        ("CUSTOM_PCI_10DE_FFFF", None),
        ("CUSTOM_BAREMETAL_GOLD", None),
    ],
)
def test_resource_class_says_what_it_is_or_is_not_counted(words: str, kind: Kind | None) -> None:
    assert kind_in(words) == kind


def test_whole_devices_are_what_exactly_one_trait_says() -> None:
    assert kind_of("PGPU", {"HW_GPU_API_VULKAN", "CUSTOM_GPU_L4"}) == kind_in("CUSTOM_GPU_L4")
    assert kind_of("PGPU", {"CUSTOM_GPU_L4", "CUSTOM_GPU_T4"}) is None
    assert kind_of("VGPU", {"CUSTOM_GPU_L4"}) is None
    assert is_accelerator("VGPU") and is_accelerator("CUSTOM_GPU_X9000") and not is_accelerator("CUSTOM_FPGA")


def test_configuration_says_it_first_and_only_where_all_its_traits_are() -> None:
    section = AcceleratorSection(
        resource_class="VGPU", traits=["CUSTOM_A", "CUSTOM_B"], model="L40S", memory_mib=12_288, mig_profile="vgpu-12q"
    )
    kinds = kinds_by([section])
    assert kinds("VGPU", frozenset({"CUSTOM_A", "CUSTOM_B", "C"})) == Kind("nvidia", "L40S", 12_288, "vgpu-12q")
    assert kinds("VGPU", frozenset({"CUSTOM_A"})) is None
