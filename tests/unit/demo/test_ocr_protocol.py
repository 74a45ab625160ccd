"""The Open Inference Protocol as the demonstration's server speaks it: strict in, complete out."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hansa_demo.ocr_client import RecognitionError, infer_body, parse_recognition
from hansa_demo.ocr_model import Line
from hansa_demo.ocr_protocol import (
    FieldError,
    InferRequest,
    Timing,
    infer_response,
    model_metadata,
    parse_infer_request,
)

LINES = (
    Line("HNSU 305438 1", ((1.0, 2.0), (11.0, 2.0), (11.0, 6.0), (1.0, 6.0)), 0.99),
    Line("RE 1202 L", ((3.0, 20.0), (9.0, 20.0), (9.0, 24.0), (3.0, 24.0)), 0.87),
)
ALL = ("text", "box", "score")


def tensor(**changes: object) -> dict[str, object]:
    good = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(b"png").decode()]}
    return {key: value for key, value in {**good, **changes}.items() if value is not ...}


def body(**changes: object) -> bytes:
    good = {"id": "r-1", "inputs": [tensor()]}
    return json.dumps({key: value for key, value in {**good, **changes}.items() if value is not ...}).encode()


def test_a_request_is_read() -> None:
    assert parse_infer_request(body()) == InferRequest("r-1", b"png", ALL)


def test_the_clients_request_is_one_the_server_reads() -> None:
    assert parse_infer_request(json.dumps(infer_body(b"\x89PNG")).encode()) == InferRequest("", b"\x89PNG", ALL)


def test_outputs_may_be_chosen_and_come_in_the_models_order() -> None:
    asked = [{"name": "score"}, {"name": "text"}]
    assert parse_infer_request(body(outputs=asked)).outputs == ("text", "score")
    assert parse_infer_request(body(outputs=[])).outputs == ALL


@pytest.mark.parametrize(
    ("request_body", "field"),
    [
        (b"", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (b"[]", ""),
        (body(inputs=...), "inputs"),
        (body(inputs={}), "inputs"),
        (body(inputs=[]), "inputs"),
        (body(inputs=[tensor(), tensor()]), "inputs"),
        (body(inputs=["x"]), "inputs[0]"),
        (body(id=7), "id"),
        (body(input=[]), "input"),
        (body(outputs="text"), "outputs"),
        (body(outputs=[{"name": "colour"}]), "outputs[0].name"),
        (body(outputs=[{}]), "outputs[0].name"),
        (body(outputs=[{"nam": "text"}]), "outputs[0].nam"),
        (body(inputs=[tensor(name="picture")]), "inputs[0].name"),
        (body(inputs=[tensor(name=...)]), "inputs[0].name"),
        (body(inputs=[tensor(datatype="UINT8")]), "inputs[0].datatype"),
        (body(inputs=[tensor(shape=[2])]), "inputs[0].shape"),
        (body(inputs=[tensor(shape=...)]), "inputs[0].shape"),
        (body(inputs=[tensor(data=...)]), "inputs[0].data"),
        (body(inputs=[tensor(data="x")]), "inputs[0].data"),
        (body(inputs=[tensor(data=[])]), "inputs[0].data"),
        (body(inputs=[tensor(data=[1])]), "inputs[0].data[0]"),
        (body(inputs=[tensor(data=["no base64!"])]), "inputs[0].data[0]"),
        (body(inputs=[tensor(data=["ä"])]), "inputs[0].data[0]"),
        (body(inputs=[tensor(dta=["x"])]), "inputs[0].dta"),
    ],
)
def test_a_wrong_request_is_refused_and_the_field_named(request_body: bytes, field: str) -> None:
    with pytest.raises(FieldError) as caught:
        parse_infer_request(request_body)
    assert caught.value.field == field
    assert str(caught.value).startswith(field)


def test_a_misspelt_field_gets_the_nearest_one() -> None:
    with pytest.raises(FieldError, match="did you mean inputs"):
        parse_infer_request(body(input=[]))


def test_an_absurd_value_is_not_echoed_whole() -> None:
    with pytest.raises(FieldError) as caught:
        parse_infer_request(body(inputs=[tensor(name="x" * 10_000)]))
    assert len(str(caught.value)) < 200


def test_the_answer_has_the_shapes_of_the_protocol() -> None:
    answer: dict[str, Any] = infer_response(InferRequest("r-1", b"", ALL), LINES, Timing(2.0, 40.0))
    tensors = {entry["name"]: entry for entry in answer["outputs"]}
    assert (answer["model_name"], answer["id"]) == ("ocr", "r-1")
    assert answer["parameters"] == {"server_ms": 42.0, "queue_ms": 2.0, "inference_ms": 40.0}
    assert tensors["text"] == {
        "name": "text",
        "datatype": "BYTES",
        "shape": [2],
        "data": ["HNSU 305438 1", "RE 1202 L"],
    }
    assert tensors["box"]["shape"] == [2, 4, 2] and len(tensors["box"]["data"]) == 16
    assert tensors["score"]["data"] == [0.99, 0.87]


def test_the_answer_has_the_outputs_asked_for_and_no_id_without_one() -> None:
    answer: dict[str, Any] = infer_response(InferRequest("", b"", ("score",)), (), Timing(0.0, 1.0))
    assert answer["outputs"] == [{"name": "score", "datatype": "FP32", "shape": [0], "data": []}]
    assert "id" not in answer


def test_metadata_names_the_tensors_of_the_answer() -> None:
    metadata: dict[str, Any] = model_metadata()
    assert [entry["name"] for entry in metadata["outputs"]] == list(ALL)
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]


@pytest.mark.parametrize("lines", [(), LINES])
def test_the_client_reads_what_the_server_writes(lines: tuple[Line, ...]) -> None:
    content = json.dumps(infer_response(InferRequest("", b"", ALL), lines, Timing(2.0, 40.0))).encode()
    read = parse_recognition(200, content, client_ms=50.0)
    assert read.texts == tuple(line.text for line in lines)
    assert read.boxes == tuple(line.box for line in lines)
    assert read.scores == tuple(line.score for line in lines)
    assert (read.server_ms, read.client_ms) == (42.0, 50.0)


def test_the_client_keeps_status_and_field_of_a_refusal() -> None:
    with pytest.raises(RecognitionError, match="id: expected text") as caught:
        parse_recognition(400, b'{"error": "id: expected text; got 7", "field": "id"}', 1.0)
    assert (caught.value.status, caught.value.field) == (400, "id")


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (502, b"<html>"),
        (500, b"{}"),
        (500, b"[]"),
        (200, b"{}"),
        (200, b"null"),
        (200, b'{"outputs": [], "parameters": {}}'),
    ],
)
def test_an_answer_that_is_not_the_protocols_is_an_error(status: int, content: bytes) -> None:
    with pytest.raises(RecognitionError, match="cannot be read") as caught:
        parse_recognition(status, content, 1.0)
    assert caught.value.status == status


def test_an_answer_with_outputs_of_different_length_is_an_error() -> None:
    answer: dict[str, Any] = infer_response(InferRequest("", b"", ALL), LINES, Timing(2.0, 40.0))
    answer["outputs"][0]["data"].pop()
    with pytest.raises(RecognitionError, match="cannot be read"):
        parse_recognition(200, json.dumps(answer).encode(), 1.0)
