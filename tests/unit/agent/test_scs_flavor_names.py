"""SCS-0100 flavor names: the standard's own examples, what breaks it, and every name there and back."""

from __future__ import annotations

import pytest
from hansa_agent.scs_failsafe import FailsafeLevel, FailureDomain, level_between
from hansa_agent.scs_flavor import (
    CpuType,
    CpuVendor,
    Disk,
    DiskType,
    Gpu,
    GpuVendor,
    Hypervisor,
    Processor,
    ScsFlavor,
    encode,
    gpu_part,
)
from hansa_agent.scs_flavor_reading import NotScs, decode, gpu_in, is_scs, nearest
from hansa_agent.scs_gpus import DEVICES, kind_of_gpu, part_of
from hypothesis import example, given
from hypothesis import strategies as st

GIB = 1_024

EXAMPLES = {
    "SCS-2C-4-10n": ScsFlavor(2, CpuType.CORE, 4 * GIB, Disk(10, DiskType.NETWORK)),
    "SCS-8Ti-32-50p_i1": ScsFlavor(
        8,
        CpuType.THREAD,
        32 * GIB,
        Disk(50, DiskType.NVME),
        is_insecure=True,
        processor=Processor(CpuVendor.INTEL, 1),
    ),
    "SCS-1L-1u-5": ScsFlavor(1, CpuType.CROWDED, GIB, Disk(5), is_without_ecc=True),
    "SCS-16T-64-200s_GNa-64_ib": ScsFlavor(
        16,
        CpuType.THREAD,
        64 * GIB,
        Disk(200, DiskType.SSD),
        gpu=Gpu(GpuVendor.NVIDIA, "a", 64),
        has_infiniband=True,
    ),
    "SCS-4C-16-2x200p_a1": ScsFlavor(
        4, CpuType.CORE, 16 * GIB, Disk(200, DiskType.NVME, 2), processor=Processor(CpuVendor.ARM, 1)
    ),
    "SCS-1V-0.5": ScsFlavor(1, CpuType.SHARED, 512),
    "SCS-2C-4-n": ScsFlavor(2, CpuType.CORE, 4 * GIB, Disk(0, DiskType.NETWORK)),
    "SCS-2C-4-": ScsFlavor(2, CpuType.CORE, 4 * GIB, Disk()),
    "SCS-2C-4uo-10n_bms_z3hh": ScsFlavor(
        2,
        CpuType.CORE,
        4 * GIB,
        Disk(10, DiskType.NETWORK),
        is_without_ecc=True,
        is_memory_oversubscribed=True,
        hypervisor=Hypervisor.BARE_METAL,
        processor=Processor(CpuVendor.AMD, 3, 2),
    ),
    "SCS-16V-64-500s_kvm_hwv_gNa-14h": ScsFlavor(
        16,
        CpuType.SHARED,
        64 * GIB,
        Disk(500, DiskType.SSD),
        hypervisor=Hypervisor.KVM,
        has_hardware_virtualization=True,
        gpu=Gpu(GpuVendor.NVIDIA, "a", 14, 1, is_passed_through=False),
    ),
}

GPUS = st.builds(
    Gpu,
    vendor=st.sampled_from(GpuVendor),
    generation=st.sampled_from(["", "a", "l", "g", "b", "0.9", "3", "3.1"]),
    units=st.integers(1, 999),
    units_high=st.integers(0, 3),
    memory_gib=st.integers(1, 999),
    memory_high=st.integers(0, 3),
    is_passed_through=st.booleans(),
) | st.builds(Gpu, vendor=st.sampled_from(GpuVendor), units=st.integers(0, 99))

FLAVORS = st.builds(
    ScsFlavor,
    cpus=st.integers(1, 999),
    cpu_type=st.sampled_from(CpuType),
    memory_mib=st.integers(1, 4_000).map(lambda halves: halves * 512),
    disk=st.none()
    | st.builds(Disk, st.integers(0, 9_999), st.none() | st.sampled_from(DiskType))
    | st.builds(Disk, st.integers(1, 9_999), st.none() | st.sampled_from(DiskType), st.integers(1, 9)),
    is_insecure=st.booleans(),
    is_without_ecc=st.booleans(),
    is_memory_oversubscribed=st.booleans(),
    hypervisor=st.none() | st.sampled_from(Hypervisor),
    has_hardware_virtualization=st.booleans(),
    processor=st.none() | st.builds(Processor, st.sampled_from(CpuVendor), st.integers(0, 12), st.integers(0, 3)),
    gpu=st.none() | GPUS,
    has_infiniband=st.booleans(),
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_the_standard_say_what_it_says_and_are_written_so(name: str) -> None:
    assert decode(name) == EXAMPLES[name]
    assert encode(EXAMPLES[name]) == name


@given(FLAVORS)
def test_every_flavor_is_read_from_its_name_as_it_was(flavor: ScsFlavor) -> None:
    assert decode(encode(flavor)) == flavor


@given(FLAVORS)
def test_spelling_of_version_1_is_read_as_the_same_flavor(flavor: ScsFlavor) -> None:
    old = "SCS-" + encode(flavor).removeprefix("SCS-").replace("-", ":").replace("_", "-")
    assert decode(old) == flavor


@pytest.mark.parametrize(
    ("wrong", "part", "right"),
    [
        ("SCS-2-4-10n", "processors '2'", "SCS-2V-4-10n"),
        ("SCS-2iT-4-10n", "processors '2iT'", "SCS-2Ti-4-10n"),
        ("SCS-2C-4ou-10n", "memory '4ou'", "SCS-2C-4uo-10n"),
        ("SCS-2C-3.7-10n", "memory '3.7'", "SCS-2C-3.5-10n"),
        ("SCS-2C-4-1.5n", "disk '1.5n'", "SCS-2C-4"),
        ("SCS-2C-4-10_hwv_xen", "extension 'xen'", "SCS-2C-4-10_xen_hwv"),
        ("SCS-2C-4-10_KVM", "extension 'KVM'", "SCS-2C-4-10_kvm"),
        ("SCS-2C-4-10_foo_ib", "extension 'foo'", "SCS-2C-4-10_ib"),
        ("SCS-2C-4-10_ib_ib", "extension 'ib'", "SCS-2C-4-10_ib"),
        ("SCS-2C", "processors, memory", "SCS-4V-16-50"),
        ("SCS-0C-4", "processors '0C'", "SCS-4V-16-50"),
        ("SCS-2C-0", "memory '0'", "SCS-4V-16-50"),
        ("m1.small", "begins with 'SCS-'", "SCS-4V-16-50"),
    ],
)
def test_broken_name_is_refused_with_the_part_and_the_nearest_that_would_do(wrong: str, part: str, right: str) -> None:
    with pytest.raises(NotScs) as refused:
        decode(wrong)
    assert part in refused.value.part
    assert refused.value.nearest == right


@given(st.text(max_size=40) | st.from_regex(r"SCS-[0-9A-Za-z.:_-]{0,40}", fullmatch=True))
@example("SCS-9C-0.05")
@example("SCS-1C-1_i0")
def test_nearest_name_is_always_valid(text: str) -> None:
    found = nearest(text)
    assert encode(decode(found)) == found


def test_h200_is_known_by_its_part_of_the_name() -> None:
    gpu = decode("SCS-16V-128-100p_GNg-132-141h").gpu
    assert gpu == Gpu(GpuVendor.NVIDIA, "g", 132, 0, 141, 1)
    kind = kind_of_gpu(gpu)
    assert kind is not None
    assert (kind.pool, kind.memory_mib) == ("nvidia/H200", 143_771)
    assert part_of("H200") == "GNg-132-141h"


def test_slice_is_a_pool_of_its_own_and_a_share_is_none() -> None:
    kind = kind_of_gpu(Gpu(GpuVendor.NVIDIA, "g", 18, 0, 10, 1))
    assert kind is not None
    assert kind.pool == "nvidia/H100/mig-1g.10gb"
    assert kind_of_gpu(Gpu(GpuVendor.NVIDIA, "g", 132, 0, 141, 1, is_passed_through=False)) is None
    assert kind_of_gpu(Gpu(GpuVendor.NVIDIA, "z")) is None


@pytest.mark.parametrize("part", DEVICES)
def test_every_device_of_the_table_is_read_and_written_as_the_table_has_it(part: str) -> None:
    gpu = gpu_in(part)
    assert gpu is not None
    assert gpu_part(gpu) == part
    assert part_of(*DEVICES[part]) == part


def test_only_names_with_the_prefix_claim_the_standard() -> None:
    assert is_scs("SCS-4V-16") and not is_scs("g1.h200")


def test_failsafe_level_is_that_of_the_largest_part_that_two_places_do_not_share() -> None:
    here = FailureDomain("de1", "az1", "r1", "h1")
    assert level_between(here, FailureDomain("de2", "az1", "r1", "h1")) is FailsafeLevel.REGION
    assert level_between(here, FailureDomain("de1", "az2", "r1", "h1")) is FailsafeLevel.SITE
    assert level_between(here, FailureDomain("de1", "az1", "r2", "h1")) is FailsafeLevel.RACK
    assert level_between(here, FailureDomain("de1", "az1", "r1", "h2")) is FailsafeLevel.DEVICE
    assert level_between(here, here) is FailsafeLevel.NONE
    assert level_between(here, FailureDomain("de1")) is FailsafeLevel.NONE, "what is not known is shared"
    assert FailureDomain("DE1", "AZ 2").name == "de1-az-2"
