"""Reads SCS-0100 flavor names; a name that breaks the standard is refused with the part that does and a name that would
do. Pure. ``hansa_agent.scs_flavor`` has what a name says."""

from __future__ import annotations

import re

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
)

PREFIX = "SCS-"
EXAMPLE = "SCS-4V-16-50"
_N = r"[1-9]\d{0,5}"
_CPU = re.compile(rf"(?P<count>{_N})(?P<type>[CTVL])(?P<insecure>i?)")
_MEMORY = re.compile(r"(?P<gib>0(?=\.5)|[1-9]\d{0,5})(?P<half>\.5)?(?P<no_ecc>u?)(?P<over>o?)")
_DISK = re.compile(rf"(?:(?P<count>{_N})x(?={_N}))?(?P<size>{_N})?(?P<type>[nhsp])?")
_PROCESSOR = re.compile(r"(?P<vendor>[izar])(?P<generation>\d{1,2})?(?P<frequency>h{0,3})")
_GPU = re.compile(
    r"(?P<how>[Gg])(?P<vendor>[NAI])(?P<generation>[a-z]|\d{1,2}(?:\.\d{1,2})?)?"
    rf"(?:-(?P<units>{_N})(?P<units_high>h*)(?:-(?P<memory>{_N})(?P<memory_high>h*))?)?"
)
_LOOSE_CPU = re.compile(r"(\d{1,6})([A-Za-z]*)")
_LOOSE_MEMORY = re.compile(r"(\d{1,6})(?:\.(\d+))?([A-Za-z]*)")
_EXTENSIONS_MAX = 5


class NotScs(Exception):
    """A name that breaks the standard: ``part`` says where, ``nearest`` is a name that would do."""

    def __init__(self, name: str, part: str, nearest: str) -> None:
        super().__init__(f"{name!r} is no SCS flavor name: {part}; the nearest valid one is {nearest!r}")
        self.part = part
        self.nearest = nearest


class _Broken(Exception):
    """The text names the part and what it should look like."""


def is_scs(name: str) -> bool:
    """Whether a name claims to follow the standard; others are the provider's own business."""
    return name.startswith(PREFIX)


def decode(name: str) -> ScsFlavor:
    """What a name promises; raises ``NotScs``."""
    try:
        return _read(name)
    except _Broken as broken:
        raise NotScs(name[:200], str(broken), nearest(name)) from None


def nearest(name: str) -> str:
    """A valid name that keeps as much of ``name`` as can be made out; an example where that is nothing."""
    main, *extensions = _of_v2(name[:200]).removeprefix(PREFIX).split("_")
    parts = main.split("-")
    cpu, memory = _LOOSE_CPU.match(parts[0]), _LOOSE_MEMORY.match(parts[1]) if len(parts) > 1 else None
    if cpu is None or memory is None or not int(cpu[1]) or not int(memory[1]) + int(memory[2] or 0):
        return EXAMPLE
    disk = f"-{parts[2]}" if len(parts) > 2 and _DISK.fullmatch(parts[2]) else ""
    head = f"{PREFIX}{_mended_cpu(cpu)}-{_mended_memory(memory)}{disk}"
    return encode(_read("_".join([head, *_in_order(extensions)])))


def _read(name: str) -> ScsFlavor:
    if not is_scs(name):
        raise _Broken(f"a name begins with {PREFIX!r}")
    main, *extensions = _of_v2(name).removeprefix(PREFIX).split("_")
    parts = main.split("-")
    if not 2 <= len(parts) <= 3:
        raise _Broken("processors, memory and at most one disk, parted by '-'")
    cpu = _match(_CPU, parts[0], "processors", "a number, one of C T V L, and perhaps i")
    memory = _match(_MEMORY, parts[1], "memory", "GiB, whole or half ones, and perhaps u, then o")
    return ScsFlavor(
        cpus=int(cpu["count"]),
        cpu_type=CpuType(cpu["type"]),
        is_insecure=bool(cpu["insecure"]),
        memory_mib=int(memory["gib"]) * 1_024 + (512 if memory["half"] else 0),
        is_without_ecc=bool(memory["no_ecc"]),
        is_memory_oversubscribed=bool(memory["over"]),
        disk=_disk(parts[2]) if len(parts) == 3 else None,
        **_extended(extensions),  # type: ignore[arg-type]
    )


def _of_v2(name: str) -> str:
    """v1 had ``:`` where ``-`` is now, and ``-`` where ``_`` is; the standard gives this mapping."""
    if ":" not in name:
        return name
    return PREFIX + name.removeprefix(PREFIX).replace("-", "_").replace(":", "-")


def _match(pattern: re.Pattern[str], text: str, part: str, form: str) -> re.Match[str]:
    match = pattern.fullmatch(text)
    if match is None:
        raise _Broken(f"{part} {text!r} should be {form}")
    return match


def _disk(text: str) -> Disk:
    match = _match(_DISK, text, "disk", "whole GB, perhaps after a count and 'x', and perhaps one of n h s p")
    kind = DiskType(match["type"]) if match["type"] else None
    return Disk(int(match["size"] or 0), kind, int(match["count"] or 1))


def _extended(extensions: list[str]) -> dict[str, object]:
    """The extensions by field, each at most once and in the standard's order."""
    found: dict[str, object] = {}
    last = -1
    for text in extensions:
        place, field, value = _extension(text)
        if place <= last:
            raise _Broken(f"extension {text!r} comes too late: hypervisor, hwv, processor, GPU, ib is the order")
        last = place
        found[field] = value
    return found


def _extension(text: str) -> tuple[int, str, object]:
    if text in set(Hypervisor):
        return 0, "hypervisor", Hypervisor(text)
    if text == "hwv":
        return 1, "has_hardware_virtualization", True
    if text == "ib":
        return 4, "has_infiniband", True
    if (match := _PROCESSOR.fullmatch(text)) is not None:
        generation = int(match["generation"] or 0)
        return 2, "processor", Processor(CpuVendor(match["vendor"]), generation, len(match["frequency"]))
    return 3, "gpu", _gpu(_match(_GPU, text, "extension", "a hypervisor, hwv, a processor, a GPU or ib"))


def _gpu(match: re.Match[str]) -> Gpu:
    return Gpu(
        vendor=GpuVendor(match["vendor"]),
        generation=match["generation"] or "",
        units=int(match["units"] or 0),
        units_high=len(match["units_high"] or ""),
        memory_gib=int(match["memory"] or 0),
        memory_high=len(match["memory_high"] or ""),
        is_passed_through=match["how"] == "G",
    )


def gpu_in(part: str) -> Gpu | None:
    """The GPU that a part of a name stands for, such as ``GNg-132-141h``; None if it is none."""
    match = _GPU.fullmatch(part)
    return _gpu(match) if match else None


def _mended_cpu(match: re.Match[str]) -> str:
    letters = match[2]
    kind = next((letter.upper() for letter in letters if letter.upper() in set(CpuType)), CpuType.SHARED.value)
    return f"{int(match[1])}{kind}{'i' if 'i' in letters.lower() else ''}"


def _mended_memory(match: re.Match[str]) -> str:
    """Half GiBs, rounded down, because a name may promise less than there is; the flags in their order."""
    half = ".5" if match[2] and match[2][0] >= "5" else ""
    gib = int(match[1]) if int(match[1]) or half else 1
    return f"{gib}{half}{'u' if 'u' in match[3].lower() else ''}{'o' if 'o' in match[3].lower() else ''}"


def _in_order(extensions: list[str]) -> list[str]:
    """The extensions that can be read, one of each, sorted."""
    placed: dict[int, str] = {}
    for text in extensions[: 4 * _EXTENSIONS_MAX]:
        for spelling in (text, text.lower()):
            try:
                placed.setdefault(_extension(spelling)[0], spelling)
                break
            except _Broken:
                continue
    return [placed[place] for place in sorted(placed)]
