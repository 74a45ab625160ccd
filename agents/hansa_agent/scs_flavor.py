"""SCS-0100 flavor names, read and written: what a flavor of a Sovereign Cloud Stack promises is in its name. Pure.

The standard is "SCS Flavor Naming Standard" v3 (docs.scs.community/standards/scs-0100-v3-flavor-naming), with the GPU
part of v3.2, which has memory behind the processing units. A name is ``SCS-`` processors ``-`` memory [``-`` disk] and
extensions in a fixed order: hypervisor, ``hwv``, processor, GPU, ``ib``. The spelling of v1 (``SCS-4V:16:50``), which
the standard maps one to one, is read and never written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class CpuType(StrEnum):
    """How much of a core a virtual processor is, the strongest promise first."""

    CORE = "C"
    THREAD = "T"
    SHARED = "V"
    CROWDED = "L"


class DiskType(StrEnum):
    """Where the root disk lies."""

    NETWORK = "n"
    HARD_DISK = "h"
    SSD = "s"
    NVME = "p"


class Hypervisor(StrEnum):
    """What runs the server; a bare machine is one, too."""

    KVM = "kvm"
    XEN = "xen"
    VMWARE = "vmw"
    HYPER_V = "hyv"
    BARE_METAL = "bms"


class CpuVendor(StrEnum):
    """Whose processor it is."""

    INTEL = "i"
    AMD = "z"
    ARM = "a"
    RISC_V = "r"


class GpuVendor(StrEnum):
    """Whose GPU it is."""

    NVIDIA = "N"
    AMD = "A"
    INTEL = "I"


@dataclass(frozen=True, slots=True)
class Disk:
    """The root disk. Size 0: the cloud decides; no type: the cloud decides."""

    size_gb: int = 0
    type: DiskType | None = None
    count: int = 1


@dataclass(frozen=True, slots=True)
class Processor:
    """Vendor, generation (0 is old or not said), and frequency class: 0 to 3 letters ``h``."""

    vendor: CpuVendor
    generation: int = 0
    frequency: int = 0


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU passed through, or a share of one.

    ``units`` are streaming multiprocessors (NVIDIA), compute units (AMD) or execution units (Intel), 0 if not said;
    ``units_high`` and ``memory_high`` count letters ``h``: faster than usual. ``memory_gib`` is 0 if not said.
    """

    vendor: GpuVendor
    generation: str = ""
    units: int = 0
    units_high: int = 0
    memory_gib: int = 0
    memory_high: int = 0
    is_passed_through: bool = True


@dataclass(frozen=True, slots=True)
class ScsFlavor:
    """What a name promises at least. ``disk`` None: the user brings a volume to start from."""

    cpus: int
    cpu_type: CpuType
    memory_mib: int
    disk: Disk | None = None
    is_insecure: bool = False
    is_without_ecc: bool = False
    is_memory_oversubscribed: bool = False
    hypervisor: Hypervisor | None = None
    has_hardware_virtualization: bool = False
    processor: Processor | None = None
    gpu: Gpu | None = None
    has_infiniband: bool = False


def encode(flavor: ScsFlavor) -> str:
    """The name in the spelling of v3; the same flavor has one name only."""
    memory = f"{_memory(flavor.memory_mib)}{'u' * flavor.is_without_ecc}{'o' * flavor.is_memory_oversubscribed}"
    main = f"SCS-{flavor.cpus}{flavor.cpu_type}{'i' * flavor.is_insecure}-{memory}{_disk(flavor.disk)}"
    extensions = (
        flavor.hypervisor.value if flavor.hypervisor else "",
        "hwv" if flavor.has_hardware_virtualization else "",
        _processor(flavor.processor) if flavor.processor else "",
        _gpu(flavor.gpu) if flavor.gpu else "",
        "ib" if flavor.has_infiniband else "",
    )
    return "_".join([main, *(extension for extension in extensions if extension)])


def gpu_part(gpu: Gpu) -> str:
    """The GPU's part of a name, such as ``GNg-132-141h``."""
    return _gpu(gpu)


def _memory(memory_mib: int) -> str:
    whole, rest = divmod(memory_mib, 1_024)
    return f"{whole}.5" if rest else str(whole)


def _disk(disk: Disk | None) -> str:
    if disk is None:
        return ""
    count = f"{disk.count}x" if disk.count > 1 else ""
    return f"-{count}{disk.size_gb or ''}{disk.type or ''}"


def _processor(processor: Processor) -> str:
    return f"{processor.vendor}{processor.generation or ''}{'h' * processor.frequency}"


def _gpu(gpu: Gpu) -> str:
    units = f"-{gpu.units}{'h' * gpu.units_high}" if gpu.units else ""
    memory = f"-{gpu.memory_gib}{'h' * gpu.memory_high}" if gpu.memory_gib else ""
    return f"{'G' if gpu.is_passed_through else 'g'}{gpu.vendor}{gpu.generation}{units}{memory}"
