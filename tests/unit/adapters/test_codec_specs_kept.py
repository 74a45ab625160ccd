"""A specification that was read before is the same object; what is refused is refused each time, by its own path."""

from __future__ import annotations

import pytest
from hansa_control.adapters import codec_workload
from hansa_control.adapters.codec_workload import SPEC_KEPT_BYTES_MAX, SPECS_KEPT_MAX, spec_in, spec_out
from hansa_control.application.ports import RefusalError

from hansa.v1 import common_pb2, workload_pb2

QUAY = "q" * 60


def wire(cpu_millis: int = 500, access: int = 1, name: str = "oslo") -> workload_pb2.WorkloadSpec:
    return workload_pb2.WorkloadSpec(
        artefact=common_pb2.ArtefactRef(name="ocr", digest="sha256:" + "0" * 64),
        cpu_millis=cpu_millis,
        memory_mib=512,
        replicas=1,
        access=[workload_pb2.AccessDemand(access_point=f"{name}-{n}", demand_millirps=10) for n in range(access)],
        latency=workload_pb2.LatencyBudget(percentile=95, rtt_us_max=25_000),
    )


def test_equal_specifications_are_the_same_object_and_others_are_not() -> None:
    assert spec_in(wire(), "spec") is spec_in(wire(), "requirements")
    assert spec_in(wire(), "spec") != spec_in(wire(cpu_millis=501), "spec")
    assert spec_in(wire(), "spec").cpu_millis == 500


def test_what_is_refused_names_its_own_path_each_time() -> None:
    for path in ("spec", "requirements", "spec"):
        with pytest.raises(RefusalError) as refusal:
            spec_in(wire(cpu_millis=0), path)
        assert refusal.value.field == f"{path}.cpu_millis"


def test_what_is_kept_of_specifications_is_bounded() -> None:
    for cpu_millis in range(1, SPECS_KEPT_MAX + 10):
        assert spec_out(spec_in(wire(cpu_millis), "spec")).cpu_millis == cpu_millis
    assert len(codec_workload._specs) <= SPECS_KEPT_MAX
    assert len(codec_workload._wires) <= SPECS_KEPT_MAX


def test_a_long_specification_is_read_and_not_kept() -> None:
    long = wire(access=200, name="a" * 59)
    long.data_sources.extend(
        workload_pb2.DataSource(name=f"{QUAY}-{n}", node="b" * 60, country="NO", data=1) for n in range(16)
    )
    read = spec_in(long, "spec")
    again = spec_in(long, "spec")
    assert long.ByteSize() > SPEC_KEPT_BYTES_MAX
    assert read == again
    assert read is not again


def test_a_specification_comes_out_as_it_went_in_however_often() -> None:
    first = spec_out(spec_in(wire(), "spec"))
    holder = workload_pb2.Workload(spec=first)
    holder.spec.cpu_millis = 1
    assert spec_out(spec_in(wire(), "spec")).cpu_millis == 500
