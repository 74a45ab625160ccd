"""Steps of a language model on an accelerator from public facts: what is read, what is computed, how fast either goes.

A step reads the weights, the keys and values of its context, and what each layer writes for the next; it multiplies
matrices; with several devices it exchanges what each has of a layer (a ring: Patarasuk and Yuan, 2009). Times add up,
and two shares say how much of the facts' speed is reached: that of the memory, and that of the arithmetic. Shares are
of the server program rather than of a device, which is what carries over from one device to another.

Shapes of models are those of their published configurations. ``matmul_tflops`` is what a dense BF16 product of large
matrices was seen to reach in torch, the median of what is told of the device in the public table
github.com/zzc0721/torch-performance-test-data (2025 and 2026), because peaks of data sheets are reached to very
different shares; bandwidths and links are those of the makers' data sheets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hansa_sim.engines.token_model import TokenModel

VALUE_BYTES = 2
"""Of a number in BF16."""

MEMORY_USED_PERCENT = 90
"""What vLLM takes of a device unless told otherwise."""

RESERVED_BYTES = 1_250_000_000
"""What is neither weights nor keys and values: graphs, buffers. Seen on an RTX 4090 with vLLM 0.19: 1.24 GB."""

PS = 1e12


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder: layers, width, widths of queries and of keys, of the feed-forward part, size of the vocabulary."""

    layers: int
    width: int
    query_width: int
    key_width: int
    feed_width: int
    vocabulary: int

    @property
    def layer_weights(self) -> int:
        """Weights that every token is multiplied with."""
        own = self.width * (2 * self.query_width + 2 * self.key_width + 3 * self.feed_width)
        return self.layers * own

    @property
    def head_weights(self) -> int:
        """Weights that every token which comes out is multiplied with."""
        return self.width * self.vocabulary

    @property
    def weights_bytes(self) -> int:
        """What a step reads of the weights: the table of input tokens is looked up, not read."""
        return VALUE_BYTES * (self.layer_weights + self.head_weights)

    @property
    def context_bytes(self) -> int:
        """Keys and values of a token."""
        return VALUE_BYTES * self.layers * 2 * self.key_width

    @property
    def passed_bytes(self) -> int:
        """What layers read and write of a token besides weights and context: before and after each product, two sums
        with normalisation, the rotation of queries and keys, attention, and the gate."""
        width, query, key, feed = self.width, self.query_width, self.key_width, self.feed_width
        attention = width + 5 * query + 6 * key + query + width
        return VALUE_BYTES * self.layers * (8 * width + attention + width + 6 * feed + width)


@dataclass(frozen=True, slots=True)
class DeviceFacts:
    """A device: memory in bytes, GB/s of memory and of the link to its neighbours (one way), TFLOPS seen in products of
    matrices."""

    memory_bytes: int
    memory_gb_per_s: float
    matmul_tflops: float
    link_gb_per_s: float


MODELS: Mapping[str, ModelShape] = MappingProxyType(
    {
        "llama-3.1-8b": ModelShape(32, 4_096, 4_096, 1_024, 14_336, 128_256),
        "qwen3-32b": ModelShape(64, 5_120, 8_192, 1_024, 25_600, 151_936),
    }
)

DEVICES: Mapping[str, DeviceFacts] = MappingProxyType(
    {
        "RTX4090": DeviceFacts(25_250_627_584, 1_008, 164.8, 31.5),
        "RTXPRO6000-Server": DeviceFacts(101_976_440_832, 1_597, 413.4, 63.0),
        "L40S": DeviceFacts(48 << 30, 864, 269.2, 31.5),
        "H100": DeviceFacts(80 << 30, 3_350, 786.5, 450.0),
    }
)


@dataclass(frozen=True, slots=True)
class Shares:
    """How much of a device's speed is reached, each in (0, 1]."""

    memory: float
    arithmetic: float


@dataclass(frozen=True, slots=True)
class Limits:
    """How the server is set: sequences, tokens a step, devices of a replica; memory for keys and values in tokens, None
    for what is left of the devices' memory."""

    sequences: int
    step_tokens: int
    devices: int = 1
    kv_tokens: int | None = None


def model_from(shape: ModelShape, device: DeviceFacts, shares: Shares, limits: Limits) -> TokenModel:
    """The token model of a language model on a device. Raises ValueError where its weights leave no room."""
    bandwidth = device.memory_gb_per_s * 1e9 * shares.memory * limits.devices
    speed = device.matmul_tflops * 1e12 * shares.arithmetic * limits.devices
    exchanged = 0.0
    if limits.devices > 1:
        ring = 2 * (limits.devices - 1) / limits.devices
        exchanged = ring * 2 * shape.layers * VALUE_BYTES * shape.width / (device.link_gb_per_s * 1e9)
    token = 2 * shape.layer_weights / speed + shape.passed_bytes / bandwidth + exchanged
    return TokenModel(
        step_ps=round(shape.weights_bytes / bandwidth * PS),
        token_ps=round(token * PS),
        sample_ps=round(2 * shape.head_weights / speed * PS),
        context_ps=round(shape.context_bytes / bandwidth * PS),
        attention_ps=round(4 * shape.layers * shape.query_width / speed * PS),
        sequences=limits.sequences,
        step_tokens=limits.step_tokens,
        kv_tokens=limits.kv_tokens or room_for_context(shape, device, limits.devices),
    )


def room_for_context(shape: ModelShape, device: DeviceFacts, devices: int) -> int:
    """Tokens whose keys and values fit beside the weights. Raises ValueError where none does."""
    weights = shape.weights_bytes + VALUE_BYTES * shape.head_weights
    room = devices * (device.memory_bytes * MEMORY_USED_PERCENT // 100 - RESERVED_BYTES) - weights
    if room < shape.context_bytes:
        raise ValueError(f"weights of {weights / 1e9:.0f} GB leave no room in {devices} x {device.memory_bytes} bytes")
    return room // shape.context_bytes
