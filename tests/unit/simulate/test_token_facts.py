"""Facts of models and devices, and what follows of them for a step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hansa_sim.latency.token_facts import (
    DEVICES,
    MODELS,
    RESERVED_BYTES,
    DeviceFacts,
    Limits,
    ModelShape,
    Shares,
    model_from,
    room_for_context,
)

LLAMA, QWEN = MODELS["llama-3.1-8b"], MODELS["qwen3-32b"]
WHOLE = Shares(1.0, 1.0)
LIMITS = Limits(128, 2_048)
DEVICE = DeviceFacts(100_000_000_000, 1_000.0, 100.0, 50.0)


@pytest.mark.parametrize(("shape", "billions"), [(LLAMA, 8.03), (QWEN, 32.76)])
def test_models_have_as_many_weights_as_their_makers_say(shape: ModelShape, billions: float) -> None:
    weights = shape.layer_weights + 2 * shape.head_weights  # the table of input tokens is as large as the head
    assert weights / 1e9 == pytest.approx(billions, rel=0.002)


@pytest.mark.parametrize(("shape", "kib"), [(LLAMA, 128), (QWEN, 256)])
def test_a_tokens_keys_and_values_take_what_is_known_of_them(shape: ModelShape, kib: int) -> None:
    assert shape.context_bytes == kib * 1_024


def test_a_step_reads_the_weights_at_the_memorys_speed() -> None:
    found = model_from(LLAMA, DEVICE, WHOLE, LIMITS)
    assert found.step_ps == LLAMA.weights_bytes, "at 1,000 GB/s a byte takes a picosecond"
    assert found.context_ps == LLAMA.context_bytes


def test_a_token_multiplies_with_every_weight_of_the_layers_and_passes_values_on() -> None:
    found = model_from(LLAMA, DEVICE, WHOLE, LIMITS)
    multiplied = 2 * LLAMA.layer_weights / 100e12 * 1e12
    assert found.token_ps == pytest.approx(multiplied + LLAMA.passed_bytes, rel=1e-9)
    assert found.sample_ps == pytest.approx(2 * LLAMA.head_weights / 100, rel=1e-6)
    assert found.attention_ps == pytest.approx(4 * 32 * 4_096 / 100, rel=1e-3)


def test_half_the_share_takes_twice_the_time() -> None:
    whole, half = (model_from(LLAMA, DEVICE, Shares(share, share), LIMITS) for share in (1.0, 0.5))
    for name in ("step_ps", "token_ps", "sample_ps", "context_ps", "attention_ps"):
        assert getattr(half, name) == pytest.approx(2 * getattr(whole, name), rel=1e-3)


def test_each_share_belongs_to_its_part() -> None:
    whole = model_from(LLAMA, DEVICE, WHOLE, LIMITS)
    slow_memory = model_from(LLAMA, DEVICE, Shares(0.5, 1.0), LIMITS)
    slow_sums = model_from(LLAMA, DEVICE, Shares(1.0, 0.5), LIMITS)
    assert (slow_memory.sample_ps, slow_memory.attention_ps) == (whole.sample_ps, whole.attention_ps)
    assert (slow_sums.step_ps, slow_sums.context_ps) == (whole.step_ps, whole.context_ps)


@pytest.mark.parametrize("devices", [2, 4, 8])
def test_devices_divide_the_work_and_exchange_it_round_a_ring(devices: int) -> None:
    one = model_from(QWEN, replace(DEVICE, link_gb_per_s=1e12), WHOLE, replace(LIMITS, devices=1))
    free = model_from(QWEN, replace(DEVICE, link_gb_per_s=1e12), WHOLE, replace(LIMITS, devices=devices))
    tied = model_from(QWEN, DEVICE, WHOLE, replace(LIMITS, devices=devices))
    assert free.token_ps == pytest.approx(one.token_ps / devices, rel=1e-6)
    ring = 2 * (devices - 1) / devices * 2 * 64 * 2 * 5_120 / 50e9 * 1e12
    assert tied.token_ps - free.token_ps == pytest.approx(ring, rel=1e-6)


def test_memory_that_is_left_is_for_context() -> None:
    room = DEVICE.memory_bytes * 90 // 100 - RESERVED_BYTES - LLAMA.weights_bytes - 2 * LLAMA.head_weights
    assert room_for_context(LLAMA, DEVICE, 1) == room // LLAMA.context_bytes
    assert model_from(LLAMA, DEVICE, WHOLE, LIMITS).kv_tokens == room // LLAMA.context_bytes
    assert model_from(LLAMA, DEVICE, WHOLE, replace(LIMITS, kv_tokens=5_000)).kv_tokens == 5_000


def test_two_devices_have_more_than_twice_the_room() -> None:
    one, two = (room_for_context(LLAMA, DEVICE, count) for count in (1, 2))
    assert two > 2 * one, "the weights are there once"


@pytest.mark.parametrize("name", sorted(DEVICES))
def test_every_device_serves_the_small_model(name: str) -> None:
    found = model_from(LLAMA, DEVICES[name], Shares(0.9, 0.9), LIMITS)
    assert 4 < found.step_ps / 1e9 < 20 and found.kv_tokens > 30_000


def test_weights_without_room_are_refused() -> None:
    with pytest.raises(ValueError, match="weights of 66 GB leave no room in 1 x 25250627584 bytes"):
        room_for_context(QWEN, DEVICES["RTX4090"], 1)
