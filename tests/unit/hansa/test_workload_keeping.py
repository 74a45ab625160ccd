"""Priority, disruption and on_partition in workload files: what they say, and what cannot be."""

from __future__ import annotations

import pytest

from hansa.errors import HansaError
from hansa.spec_file import parse_workload_text
from hansa.v1 import workload_pb2

PLAIN = f"""\
kind: Workload
name: yard-ocr
artefact: ocr-server@sha256:{"a" * 64}
resources: {{cpu: 1, memory: 1GiB}}
users: [{{access_point: oslo, requests_per_s: 1}}]
latency: {{rtt_ms_max: 24}}
residency: none
replicas: 3
"""


def spec_of(more: str = "") -> workload_pb2.WorkloadSpec:
    return parse_workload_text(PLAIN + more, "harbour").spec


def test_a_file_that_says_nothing_of_it_has_the_defaults_and_sends_none() -> None:
    spec = spec_of()
    assert (spec.priority, spec.HasField("disruption"), spec.HasField("on_partition")) == (0, False, False)


def test_what_is_as_by_default_is_left_out_so_that_what_is_kept_equals_what_was_sent() -> None:
    assert spec_of("disruption: {min_available: 0, preemptible: true}\non_partition: keep\npriority: 0\n") == spec_of()


def test_every_key_reaches_the_spec() -> None:
    partition = "on_partition: {action: replace, after_s: 5}\n"
    spec = spec_of("priority: -7\ndisruption: {min_available: 2, preemptible: false}\n" + partition)
    assert spec.priority == -7
    assert spec.disruption == workload_pb2.Disruption(min_available=2, never_preempted=True)
    assert spec.on_partition == workload_pb2.PartitionRule(action=workload_pb2.ON_PARTITION_REPLACE, after_ms=5_000)


def test_the_word_replace_alone_means_after_30_seconds() -> None:
    assert spec_of("on_partition: replace\n").on_partition.after_ms == 30_000


@pytest.mark.parametrize(
    ("more", "field", "words"),
    [
        ("priority: 1001\n", "priority", "nearest valid: 1000"),
        ("priority: high\n", "priority", "is not a whole number"),
        ("disruption: {min_available: 4}\n", "disruption.min_available", "nearest valid: 3"),
        ("disruption: {preemptible: maybe}\n", "disruption.preemptible", "true, false"),
        ("disruption: {minimum: 1}\n", "disruption", "minimum"),
        ("on_partition: reploce\n", "on_partition", "did you mean replace"),
        ("on_partition: {action: keep, after_s: 5}\n", "on_partition.after_s", "goes with action: replace"),
        ("on_partition: {action: replace, after_s: 0}\n", "on_partition.after_s", "nearest valid: 1"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field_and_the_nearest_valid_value(
    more: str, field: str, words: str
) -> None:
    with pytest.raises(HansaError, match=words) as refused:
        spec_of(more)
    assert field in (refused.value.field or "") or field in str(refused.value)
