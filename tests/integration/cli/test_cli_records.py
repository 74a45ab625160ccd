"""Records on the command line, as an operator sends them or says why not."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli_fake_service import FakeService

Hansa = Callable[..., Any]


def test_plan_asks_for_a_record_only_if_there_is_a_file_for_it(
    hansa: Hansa, workload_file: Path, service: FakeService, tmp_path: Path
) -> None:
    service.plan.record = zlib.compress(b'{"format":1}')
    answer = hansa("plan", "-f", workload_file, "--record", tmp_path / "record.json")
    assert (answer.code, (tmp_path / "record.json").read_text()) == (1, '{"format":1}\n')
    hansa("plan", "-f", workload_file)
    assert [request.with_record for request in service.called("PlanWorkload")] == [True, False]


def test_a_record_that_cannot_be_unpacked_is_an_error_and_writes_nothing(
    hansa: Hansa, workload_file: Path, service: FakeService, tmp_path: Path
) -> None:
    service.plan.record = b"no zlib"
    answer = hansa("plan", "-f", workload_file, "--record", tmp_path / "record.json")
    assert (answer.code, answer.out) == (255, "")
    assert answer.err.startswith("error: INVALID_FIELD (record): is not compressed as it should be")
    assert not (tmp_path / "record.json").exists()


def test_why_tells_what_it_knows_and_that_there_is_no_record_any_more(
    hansa: Hansa, service: FakeService, tmp_path: Path
) -> None:
    service.explained.record_missing = "only its digest can be compared: sha256:ab"
    answer = hansa("why", "yard-ocr", "--record", tmp_path / "record.json")
    assert service.called("ExplainWorkload")[0].with_record
    assert answer.code == 255
    assert answer.out.startswith("yard-ocr is in ")
    assert "was not written: only its digest can be compared: sha256:ab" in answer.err
    assert not (tmp_path / "record.json").exists()


def test_why_without_a_file_asks_for_no_record(hansa: Hansa, service: FakeService) -> None:
    assert hansa("why", "yard-ocr").code == 0
    assert not service.called("ExplainWorkload")[0].with_record


def test_why_shows_signed_grants_and_writes_them_where_asked(
    hansa: Hansa, service: FakeService, tmp_path: Path
) -> None:
    service.explained.grants.add(
        claim="c1",
        zone="skargard/sto-1",
        fencing_token=7,
        granted_at_ms=1,
        owner_demands_more=True,
        document=b'{"a":1}',
    )
    service.explained.grants.add(claim="c2", zone="waldnetz/ber-1", fencing_token=8, document=b'{"b":2}')
    answer = hansa("why", "yard-ocr", "--grants", tmp_path / "grants.json")
    assert answer.code == 0
    assert (tmp_path / "grants.json").read_text() == '[{"a":1},\n{"b":2}]\n'
    assert "hansa verify-grant" in answer.err
    told = [line for line in answer.out.splitlines() if line.startswith(("skargard/sto-1", "waldnetz/ber-1"))]
    assert ["with demands of the owner" in line for line in told[:1]] == [True]
    assert "as asked" in told[1]


def test_programs_are_told_of_grants_without_their_documents(hansa: Hansa, service: FakeService) -> None:
    service.explained.grants.add(claim="c1", zone="skargard/sto-1", fencing_token=7, document=b'{"a":1}')
    (grant,) = json.loads(hansa("why", "yard-ocr", "-o", "json").out)["grants"]
    assert grant["claim"] == "c1"
    assert not grant.get("document")


def test_what_is_supposed_is_sent(hansa: Hansa, workload_file: Path, service: FakeService, tmp_path: Path) -> None:
    service.plan.hypothetical = True
    service.plan.present.CopyFrom(service.plan.decision)
    overlay = tmp_path / "what-if.yaml"
    overlay.write_text("kind: Overlay\nnodes_removed: [oslo]\n")
    hansa("plan", "-f", workload_file, "--overlay", overlay, "--cut", "a--b", "--cut", "b--c", "--deny-country", "DE")
    sent = service.called("PlanWorkload")[0].overlay
    assert (list(sent.nodes_removed), list(sent.links_removed)) == (["oslo"], ["a--b", "b--c"])
    assert list(sent.policy.site.countries_denied) == ["DE"]
