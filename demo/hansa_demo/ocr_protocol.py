"""The Open Inference Protocol, version 2, in JSON, as far as one model with one image in needs it. Pure.

Requests are read strictly: what is not understood is an error that names the field. Source: KServe, Open Inference
Protocol (V2), REST; an element of datatype BYTES is text in JSON, here base64 (RFC 4648, section 4).
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from hansa_demo.ocr_model import Line

SERVER_NAME = "hansa-ocr"
MODEL_NAME = "ocr"
MODEL_VERSION = "1"
INPUT_NAME = "image"
OUTPUT_NAMES = ("text", "box", "score")

_REQUEST_KEYS = ("id", "parameters", "inputs", "outputs")
_INPUT_KEYS = ("name", "shape", "datatype", "parameters", "data")
_OUTPUT_KEYS = ("name", "parameters")


class FieldError(ValueError):
    """A request that cannot be answered. ``field`` is the dotted path to what is wrong; empty is the whole body."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What the caller wants: the bytes of an image file, and which outputs."""

    id: str
    image: bytes
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long a request waited for the model and how long the model took, milliseconds."""

    queue_ms: float
    inference_ms: float

    @property
    def server_ms(self) -> float:
        return self.queue_ms + self.inference_ms


def server_metadata() -> dict[str, object]:
    return {"name": SERVER_NAME, "version": MODEL_VERSION, "extensions": []}


def model_metadata() -> dict[str, object]:
    return {
        "name": MODEL_NAME,
        "versions": [MODEL_VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": INPUT_NAME, "datatype": "BYTES", "shape": [1]}],
        "outputs": [
            {"name": "text", "datatype": "BYTES", "shape": [-1]},
            {"name": "box", "datatype": "FP32", "shape": [-1, 4, 2]},
            {"name": "score", "datatype": "FP32", "shape": [-1]},
        ],
    }


def parse_infer_request(body: bytes) -> InferRequest:
    """Reads the body of ``POST /v2/models/ocr/infer``; raises FieldError."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FieldError("", "the body is not JSON in UTF-8") from error
    request = _mapping(document, "", _REQUEST_KEYS)
    inputs = _sequence(request.get("inputs"), "inputs")
    if len(inputs) != 1:
        raise FieldError("inputs", f"expected one tensor, {INPUT_NAME}; got {len(inputs)}")
    return InferRequest(
        id=_text(request.get("id", ""), "id"),
        image=_image(_mapping(inputs[0], "inputs[0]", _INPUT_KEYS)),
        outputs=_outputs(request.get("outputs")),
    )


def infer_response(request: InferRequest, lines: Sequence[Line], timing: Timing) -> dict[str, object]:
    """The answer: for n lines ``text`` [n], ``box`` [n, 4, 2] in pixels and ``score`` [n], row by row."""
    count = len(lines)
    corners = [coordinate for line in lines for corner in line.box for coordinate in corner]
    tensors: dict[str, tuple[str, list[int], Sequence[object]]] = {
        "text": ("BYTES", [count], [line.text for line in lines]),
        "box": ("FP32", [count, 4, 2], corners),
        "score": ("FP32", [count], [line.score for line in lines]),
    }
    return {
        "model_name": MODEL_NAME,
        "model_version": MODEL_VERSION,
        **({"id": request.id} if request.id else {}),
        "parameters": {
            "server_ms": round(timing.server_ms, 3),
            "queue_ms": round(timing.queue_ms, 3),
            "inference_ms": round(timing.inference_ms, 3),
        },
        "outputs": [_tensor(name, *tensors[name]) for name in request.outputs],
    }


def _tensor(name: str, datatype: str, shape: Sequence[int], data: Sequence[object]) -> dict[str, object]:
    return {"name": name, "datatype": datatype, "shape": list(shape), "data": list(data)}


def _image(tensor: Mapping[str, Any]) -> bytes:
    at = "inputs[0]"
    _equal(tensor.get("name"), INPUT_NAME, f"{at}.name")
    _equal(tensor.get("datatype"), "BYTES", f"{at}.datatype")
    _equal(tensor.get("shape"), [1], f"{at}.shape")
    data = _sequence(tensor.get("data"), f"{at}.data")
    if len(data) != 1:
        raise FieldError(f"{at}.data", f"expected one element; got {len(data)}")
    try:
        return base64.b64decode(_text(data[0], f"{at}.data[0]"), validate=True)
    except (binascii.Error, ValueError) as error:
        if isinstance(error, FieldError):
            raise
        raise FieldError(f"{at}.data[0]", "not base64") from error


def _outputs(value: object) -> tuple[str, ...]:
    """The outputs asked for, in the order of the model; all of them when the request names none."""
    if value is None:
        return OUTPUT_NAMES
    asked = set()
    for index, entry in enumerate(_sequence(value, "outputs")):
        name = _text(_mapping(entry, f"outputs[{index}]", _OUTPUT_KEYS).get("name"), f"outputs[{index}].name")
        if name not in OUTPUT_NAMES:
            raise FieldError(f"outputs[{index}].name", f"expected one of {', '.join(OUTPUT_NAMES)}; got {_short(name)}")
        asked.add(name)
    return tuple(name for name in OUTPUT_NAMES if name in asked) or OUTPUT_NAMES


def _mapping(value: object, field: str, known: Collection[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise FieldError(field, f"expected an object; got {_short(value)}")
    for key in value:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise FieldError(f"{field}.{key[:64]}".lstrip("."), f"unknown field; {advice}")
    return value


def _sequence(value: object, field: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise FieldError(field, "missing" if value is None else f"expected a list; got {_short(value)}")
    return value


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise FieldError(field, "missing" if value is None else f"expected text; got {_short(value)}")
    return value


def _equal(value: object, expected: object, field: str) -> None:
    if value != expected:
        raise FieldError(field, f"expected {expected!r}; got {_short(value)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 64 else f"{text[:61]}..."
