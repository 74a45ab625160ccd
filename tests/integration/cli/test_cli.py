"""The command line against a real grpc.aio server with mutual TLS: answers, exit codes, errors."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cli_canned as canned
import grpc
import pytest
import yaml
from cli_certificates import Certificates, make_certificates
from cli_fake_service import FakeServer, FakeService, watched

from hansa.errors import HansaError
from hansa.v1 import workload_pb2

Hansa = Callable[..., Any]
PENDING = workload_pb2.WORKLOAD_STATE_PENDING
STARTING = workload_pb2.WORKLOAD_STATE_STARTING
UNPLACEABLE = workload_pb2.WORKLOAD_STATE_UNPLACEABLE
DELETING = workload_pb2.WORKLOAD_STATE_DELETING


def test_plan_of_a_new_workload_is_a_change(hansa: Hansa, workload_file: Path, service: FakeService) -> None:
    answer = hansa("plan", "-f", workload_file)
    assert answer.code == 1
    assert answer.out.startswith("change: yard-ocr would be placed in nordavind/oslo-1\n")
    assert service.called("PlanWorkload")[0].spec == canned.spec()


def test_plan_of_what_is_in_place_is_no_change(hansa: Hansa, workload_file: Path, service: FakeService) -> None:
    service.plan.current_zone = "nordavind/oslo-1"
    answer = hansa("plan", "-f", workload_file)
    assert (answer.code, answer.out.split(":")[0]) == (0, "no change")


def test_plan_with_a_changed_spec_is_a_change(hansa: Hansa, workload_file: Path, service: FakeService) -> None:
    service.plan.current_zone = "nordavind/oslo-1"
    workload_file.write_text(canned.YARD_OCR_YAML.replace("replicas: 1", "replicas: 2"))
    answer = hansa("plan", "-f", workload_file)
    assert answer.code == 1
    assert "its spec changes" in answer.out


def test_plan_that_would_move_names_both_zones(hansa: Hansa, workload_file: Path, service: FakeService) -> None:
    service.plan.current_zone = "solvik/sto-1"
    answer = hansa("plan", "-f", workload_file)
    assert answer.code == 1
    assert "would move from solvik/sto-1 to nordavind/oslo-1" in answer.out


def test_plan_without_a_feasible_zone_shows_why_and_exits_2(
    hansa: Hansa, workload_file: Path, service: FakeService
) -> None:
    service.plan.decision.CopyFrom(canned.decision(feasible=False))
    answer = hansa("plan", "-f", workload_file)
    assert answer.code == 2
    assert answer.out.startswith("0/5 zones feasible for yard-ocr:  2 SiteResidency, ")


@pytest.mark.parametrize("feasible", [True, False])
def test_plan_as_json_says_feasible_and_change(
    hansa: Hansa, workload_file: Path, service: FakeService, feasible: bool
) -> None:
    service.plan.decision.CopyFrom(canned.decision(feasible=feasible))
    data = json.loads(hansa("plan", "-f", workload_file, "-o", "json").out)
    assert (data["feasible"], data["change"]) == (feasible, feasible)


def test_groups_are_sent_as_countries_and_presets_by_name(
    hansa: Hansa, workload_file: Path, service: FakeService
) -> None:
    written = workload_file.read_text()
    rules = "residency:\n  preset: gdpr-eea\n  data: [Nordic]\n"
    workload_file.write_text(written[: written.index("residency:")] + rules)
    assert hansa("plan", "-f", workload_file).code == 1
    policy = service.called("PlanWorkload")[0].spec.residency
    assert list(policy.site.countries_allowed) == ["DK", "FI", "IS", "NO", "SE"]
    assert list(policy.presets) == ["gdpr-eea"]


def test_an_unknown_key_is_refused_with_line_and_nearest_key(
    hansa: Hansa, workload_file: Path, service: FakeService
) -> None:
    workload_file.write_text(canned.YARD_OCR_YAML.replace("transit:", "tranist:"))
    answer = hansa("submit", "-f", workload_file)
    assert answer.code == 255
    assert f"{workload_file}:14: unknown key 'tranist'; did you mean transit?" in answer.err
    assert "INVALID_FIELD (residency.tranist)" in answer.err
    assert not service.calls


def test_submit_hands_the_spec_in_under_a_request_id(hansa: Hansa, workload_file: Path, service: FakeService) -> None:
    answer = hansa("submit", "-f", workload_file)
    request = service.called("SubmitWorkload")[0]
    assert answer.code == 0
    assert (request.name, request.spec) == (canned.NAME, canned.spec())
    assert request.request_id == service.request_ids("SubmitWorkload")[0] != ""
    assert "PENDING" in answer.out
    assert "hansa watch yard-ocr" in answer.err


def test_a_plan_that_changes_something_names_the_generation_to_expect(
    hansa: Hansa, workload_file: Path, service: FakeService
) -> None:
    service.plan.decision.snapshot_generation = 8812
    assert "hansa submit --expect-generation 8812" in hansa("plan", "-f", workload_file).err


def test_a_generation_beyond_all_numbers_is_refused_before_it_is_sent(
    hansa: Hansa, workload_file: Path, service: FakeService
) -> None:
    answer = hansa("submit", "-f", workload_file, "--expect-generation", "9" * 26)
    assert (answer.code, service.called("SubmitWorkload")) == (255, [])
    assert "less than or equal to 9223372036854775807" in answer.err


def test_submit_says_on_which_generation_it_was_planned(
    hansa: Hansa, workload_file: Path, service: FakeService
) -> None:
    service.failures["SubmitWorkload"] = [HansaError("GENERATION_CHANGED", "solvik/sto-1 would be the best now")]
    answer = hansa("submit", "-f", workload_file, "--expect-generation", "8812")
    assert service.called("SubmitWorkload")[0].expect_generation == 8812
    assert answer.code == 255
    assert answer.err.startswith("error: GENERATION_CHANGED: solvik/sto-1 would be the best now")
    assert hansa("submit", "-f", workload_file).code == 0
    assert service.called("SubmitWorkload")[-1].expect_generation == 0


def test_a_plan_over_several_zones_names_them_and_what_takes_over(
    hansa: Hansa, workload_file: Path, service: FakeService
) -> None:
    decision = service.plan.decision
    decision.margin, decision.pivotal = 0.12, "price"
    first = decision.plan.assignments.add(zone="nordavind/oslo-1", replicas=2, share_permille=[1000, 250])
    first.fallback = "skargard/umea-1"
    decision.plan.assignments.add(zone="solvik/sto-1", replicas=1, share_permille=[0, 750])
    answer = hansa("plan", "-f", workload_file)
    assert answer.code == 1
    assert answer.out.startswith("change: yard-ocr would be placed in nordavind/oslo-1 and solvik/sto-1\n")
    assert [row.split() for row in answer.out.splitlines() if "skargard/umea-1" in row] == [
        ["nordavind/oslo-1", "2", "oslo", "100", "%", "-", "skargard/umea-1"]
    ]
    assert "won by 0.120 over solvik/sto-1, decided by price" in answer.out.splitlines()


def test_submit_and_wait_exits_0_when_ready(hansa: Hansa, workload_file: Path, service: FakeService) -> None:
    service.streams = [
        [watched(canned.workload(PENDING)), watched(canned.workload(STARTING)), watched(canned.workload())]
    ]
    answer = hansa("submit", "-f", workload_file, "--wait", "-o", "json")
    assert answer.code == 0
    assert json.loads(answer.out)["state"] == "RUNNING"
    assert [text.split()[0] for text in answer.err.splitlines()] == ["PENDING", "STARTING", "RUNNING"]


def test_submit_and_wait_exits_2_when_no_zone_is_lawful(
    hansa: Hansa, workload_file: Path, service: FakeService
) -> None:
    service.streams = [[watched(canned.workload(PENDING)), watched(canned.workload(UNPLACEABLE))]]
    answer = hansa("submit", "-f", workload_file, "--wait")
    assert answer.code == 2
    assert "UNPLACEABLE 0/5 zones feasible" in answer.err


def test_submit_and_wait_gives_up_after_its_time(hansa: Hansa, workload_file: Path, service: FakeService) -> None:
    service.workloads[canned.NAME] = canned.workload(PENDING)
    answer = hansa("submit", "-f", workload_file, "--wait", "--timeout-s", "0.5")
    assert answer.code == 255
    assert "not ready within 0.5 s; last seen: PENDING" in answer.err


def test_get_shows_a_row_and_wide_shows_more(hansa: Hansa) -> None:
    header, row = hansa("get").out.splitlines()
    assert header.split()[:3] == ["NAME", "STATE", "ZONE"]
    assert row.split()[:4] == ["yard-ocr", "RUNNING", "nordavind/oslo-1", "1/1"]
    assert "https://127.0.0.1:18443" in hansa("get", "yard-ocr", "-o", "wide").out


def test_get_follows_every_page(hansa: Hansa, service: FakeService) -> None:
    names = [f"tenants/havneby/workloads/w-{number}" for number in range(7)]
    service.workloads = {name: canned.workload(name=name) for name in names}
    service.page_size_max = 3
    listed = json.loads(hansa("list", "-o", "json").out)["workloads"]
    assert [item["name"] for item in listed] == names
    assert len(service.called("ListWorkloads")) == 3


@pytest.mark.parametrize(
    "args",
    [
        ("get",),
        ("get", "yard-ocr"),
        ("list",),
        ("describe", "yard-ocr"),
        ("why", "yard-ocr"),
        ("why-not", "yard-ocr"),
        ("zones",),
        ("network",),
        ("network", "--probes"),
        ("endpoint", "yard-ocr"),
        ("delete", "yard-ocr"),
        ("explain", "NOT_FOUND"),
        ("explain",),
        ("watch", "yard-ocr", "--until", "ready"),
    ],
)
def test_every_answer_parses_as_json_and_as_yaml(hansa: Hansa, args: tuple[str, ...]) -> None:
    as_json = hansa(*args, "-o", "json")
    as_yaml = hansa(*args, "-o", "yaml")
    assert (as_json.code, as_yaml.code) == (0, 0)
    assert yaml.safe_load(as_yaml.out) == json.loads(as_json.out)


def test_no_workloads_are_said_in_words(hansa: Hansa, service: FakeService) -> None:
    service.workloads = {}
    assert hansa("get").out == "no workloads\n"


def test_describe_shows_policy_placement_and_events(hansa: Hansa) -> None:
    out = hansa("describe", "yard-ocr").out
    assert "data in {NO,SE}; control in {NO,SE} and no US-CLOUD-ACT; transit in {NO,SE}; on change drain" in out
    assert "1 x L40S or H100, at least 40 GiB each" in out
    assert "c-7f3a9e12" in out
    assert "14:13:20  Held" in out


def test_why_shows_score_paths_evidence_and_history(hansa: Hansa) -> None:
    out = hansa("why", "yard-ocr").out
    assert "yard-ocr is in nordavind/oslo-1 (choice 1 of 2, on nvidia/L40S)" in out
    assert "score 0.830 = 0.680 latency + 0.200 price - 0.050 fill" in out
    assert "goteborg > karlstad > oslo > nordavind/oslo-1" in out
    assert "modelled" in out
    assert "certificate by Norsk Akkreditering" in out
    assert "claim c-7f3a9e12 holds 1 x nvidia/L40S" in out
    assert "nordavind/oslo-1 is still the best" in out


def test_why_says_when_another_zone_would_be_chosen_now(hansa: Hansa, service: FakeService) -> None:
    del service.explained.now.choices[0]
    assert "solvik/sto-1 would be the best; nordavind/oslo-1 is not feasible any more" in hansa("why", "yard-ocr").out
    service.explained.now.CopyFrom(canned.decision(feasible=False))
    assert "asked again now: no zone is feasible" in hansa("why", "yard-ocr").out


def test_why_of_what_is_nowhere_shows_the_rejections(hansa: Hansa, service: FakeService) -> None:
    service.explained.current_zone = ""
    service.explained.now.CopyFrom(canned.decision(feasible=False))
    out = hansa("why", "yard-ocr").out
    assert out.startswith("yard-ocr is nowhere\n0/5 zones feasible")


def test_why_not_is_histogram_then_rows_then_fix(hansa: Hansa) -> None:
    lines = hansa("why-not", "yard-ocr").out.splitlines()
    assert lines[0] == (
        "2/7 zones feasible for yard-ocr:  2 SiteResidency, 1 GpuMemory, 1 LatencyBound, 1 LegalControl, "
        "1 TransitResidency (1 zone fails 2)"
    )
    assert lines[1] == "it is in nordavind/oslo-1"
    assert lines[2].split() == ["ZONE", "CONSTRAINT", "MEASURED", "BOUND", "EVIDENCE"]
    assert len(lines) == 4 + len(canned.rejections())
    row = next(text for text in lines if text.startswith("nordavind/bod-1"))
    assert [" ".join(part.split()) for part in row.split("  ") if part] == [
        "nordavind/bod-1",
        "LatencyBound",
        "p95 31.4 ms (n=240)",
        "<= 24 ms",
        "path goteborg > oslo > trondheim > bodo, probed 4 s ago",
    ]
    assert lines[-1] == "nearest fix: raise the latency budget to 32 ms -> nordavind/bod-1"


def test_why_not_wide_adds_the_reason(hansa: Hansa) -> None:
    assert "LEGAL_CONTROL_DENIED" in hansa("why-not", "yard-ocr", "-o", "wide").out


def test_why_not_of_one_zone_shows_its_rows_alone(hansa: Hansa, service: FakeService) -> None:
    lines = hansa("why-not", "yard-ocr", "--zone", "bluepeak/fra-9").out.splitlines()
    assert lines[0] == "bluepeak/fra-9 is not feasible for yard-ocr"
    assert [text.split()[1] for text in lines[2:]] == ["LegalControl", "SiteResidency"]
    assert service.called("ExplainWorkload")[0].zone == "bluepeak/fra-9"
    assert hansa("why-not", "yard-ocr", "--zone", "nordavind/bod-1").out.splitlines()[-1].startswith("nearest fix")


def test_why_not_of_a_feasible_zone_compares_the_scores(hansa: Hansa) -> None:
    out = hansa("why-not", "yard-ocr", "--zone", "operators/solvik/zones/sto-1").out
    assert "solvik/sto-1 is feasible for yard-ocr, choice 2 of 2" in out
    assert "solvik/sto-1: score 0.710 = 0.560 latency" in out
    assert hansa("why-not", "yard-ocr", "--zone", "nordavind/oslo-1").out == "yard-ocr is in nordavind/oslo-1\n"


@pytest.mark.parametrize(("zone", "part"), [("solvik/sto-2", "did you mean solvik/sto-1?"), ("sto-1", "OPERATOR/ZONE")])
def test_why_not_of_no_zone_names_the_nearest(hansa: Hansa, zone: str, part: str) -> None:
    answer = hansa("why-not", "yard-ocr", "--zone", zone)
    assert answer.code == 255
    assert part in answer.err


def test_why_not_as_decided_shows_the_old_answer(hansa: Hansa, service: FakeService) -> None:
    service.explained.decision.snapshot_generation = 17
    del service.explained.decision.rejections[:]
    answer = hansa("why-not", "yard-ocr", "--as-decided")
    assert answer.out.startswith("2/7 zones feasible for yard-ocr\n")
    assert "as it was decided, network generation 17" in answer.err


def test_zones_show_control_and_what_is_free(hansa: Hansa) -> None:
    rows = {text.split()[0]: text for text in hansa("zones").out.splitlines()}
    assert "DE,US,US-CLOUD-ACT" in rows["bluepeak/fra-9"]
    assert "LOST" in rows["nordavind/bod-1"]
    assert "CORDONED" in rows["nordavind/svg-1"]
    assert "3/4 L40S 48 GiB" in rows["solvik/sto-1"]
    assert "site_country=NO (register by Bronnoysund until 2027-09-21)" in hansa("zones", "-o", "wide").out


def test_network_marks_what_is_modelled_measured_and_unknown(hansa: Hansa) -> None:
    lines = hansa("network").out.splitlines()
    assert lines[0] == "generation 8812: 3 nodes, 2 links (0 measured, 2 modelled), 2 probed pairs"
    assert "NO,SE" in lines[2] and "modelled" in lines[2]
    assert "unknown" in lines[3]
    assert "access point" in hansa("network", "-o", "wide").out


def test_network_probes_stand_beside_the_model(hansa: Hansa) -> None:
    lines = hansa("network", "--probes").out.splitlines()
    assert lines[2].split("  ")[0] == "nordavind/oslo-1"
    assert "measured n=240" in lines[2] and "modelled" in lines[2]
    assert "no path" in lines[3]


def test_endpoint_prints_the_address_and_writes_the_authority(hansa: Hansa, tmp_path: Path) -> None:
    answer = hansa("endpoint", "yard-ocr", "--ca-file", tmp_path / "endpoint-ca.pem")
    assert answer.out == "https://127.0.0.1:18443\n"
    assert (tmp_path / "endpoint-ca.pem").read_bytes() == canned.CA_PEM


def test_endpoint_that_is_not_ready_is_an_error(hansa: Hansa, service: FakeService) -> None:
    service.endpoint_urls = []
    answer = hansa("endpoint", "yard-ocr")
    assert answer.code == 255
    assert "no endpoint that is ready" in answer.err


def test_watch_until_ready_shows_each_change_once(hansa: Hansa, service: FakeService) -> None:
    service.streams = [
        [
            watched(canned.workload(PENDING), 1, 1),
            watched(canned.workload(STARTING), 2, 3),
            watched(canned.workload(STARTING)),
            watched(canned.workload(), 4, 4),
        ]
    ]
    answer = hansa("watch", "yard-ocr", "--until", "ready")
    assert answer.code == 0
    shown = [text.split()[1] for text in answer.out.splitlines()]
    assert shown == ["Submitted", "PENDING", "Held", "Confirmed", "STARTING", "Ready", "RUNNING"]


def test_watch_exits_2_when_no_lawful_zone_is_left(hansa: Hansa, service: FakeService) -> None:
    service.streams = [[watched(canned.workload()), watched(canned.workload(UNPLACEABLE))]]
    answer = hansa("watch", "yard-ocr", "-o", "json")
    assert answer.code == 2
    assert [json.loads(text)["workload"]["state"] for text in answer.out.splitlines()] == ["RUNNING", "UNPLACEABLE"]


def test_watch_until_gone_exits_0(hansa: Hansa, service: FakeService) -> None:
    service.streams = [[watched(canned.workload(DELETING)), watched(canned.workload(DELETING), deleted=True)]]
    answer = hansa("watch", "yard-ocr", "--until", "gone")
    assert answer.code == 0
    assert answer.out.splitlines()[-1].split()[1] == "GONE"


def test_delete_and_wait_ends_when_it_is_gone(hansa: Hansa, service: FakeService) -> None:
    service.streams = [[watched(canned.workload(DELETING), deleted=True)]]
    assert hansa("delete", "yard-ocr", "--wait").out == "yard-ocr is gone\n"
    service.streams = [[HansaError("NOT_FOUND", "gone already", field="name")]]
    assert hansa("delete", "yard-ocr", "--wait").code == 0


def test_a_wrong_name_is_one_line_with_field_nearest_name_and_request_id(hansa: Hansa, service: FakeService) -> None:
    answer = hansa("get", "yrad-ocr")
    assert answer.code == 255
    assert answer.out == ""
    assert answer.err == (
        "error: NOT_FOUND (name): there is no workload tenants/havneby/workloads/yrad-ocr; did you mean yard-ocr? "
        f"[request {service.request_ids('GetWorkload')[0]}]\n"
    )


def test_a_refused_field_is_named(hansa: Hansa, workload_file: Path, service: FakeService) -> None:
    service.failures["SubmitWorkload"] = [HansaError("INVALID_FIELD", "no such node", field="spec.access[0]")]
    answer = hansa("submit", "-f", workload_file)
    assert answer.code == 255
    assert answer.err.startswith("error: INVALID_FIELD (spec.access[0]): no such node [request ")


def test_a_bare_code_becomes_the_nearest_reason(hansa: Hansa, service: FakeService) -> None:
    service.failures["GetNetwork"] = [grpc.StatusCode.PERMISSION_DENIED]
    assert hansa("network").err.startswith("error: PERMISSION_DENIED: told to fail")


def test_debug_shows_the_traceback(hansa: Hansa) -> None:
    assert "Traceback" in hansa("--debug", "get", "absent").err
    assert "Traceback" not in hansa("get", "absent").err


def test_an_operator_that_is_away_is_one_line_after_the_deadline(
    hansa: Hansa, tmp_path: Path, certificates: Certificates
) -> None:
    away = certificates.write_profile(tmp_path, 1)
    answer = hansa("--profile", away, "--call-timeout-s", "0.6", "get")
    assert answer.code == 255
    assert answer.err.startswith("error: UNAVAILABLE: ") and answer.err.count("\n") == 1


def test_a_certificate_of_another_authority_is_refused_in_one_line(tmp_path: Path, server: FakeServer) -> None:
    stranger = make_certificates().write_profile(tmp_path, server.port)
    command = [sys.executable, "-m", "hansa.cli.main", "--profile", str(stranger), "--call-timeout-s", "0.6", "get"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 255
    assert done.stderr.startswith("error: UNAVAILABLE: ") and done.stderr.count("\n") == 1


def test_get_watched_shows_the_list_again_when_it_changes(profile_file: Path, service: FakeService) -> None:
    command = [sys.executable, "-m", "hansa.cli.main", "--profile", str(profile_file), "get", "--watch", "-o", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        service.workloads[canned.NAME] = canned.workload(UNPLACEABLE)
        second = json.loads(process.stdout.readline())
        process.terminate()
    assert [item["workloads"][0]["state"] for item in (first, second)] == ["RUNNING", "UNPLACEABLE"]


def test_the_installed_command_works_as_a_process_and_in_a_pipe(profile_file: Path, server: FakeServer) -> None:
    command = f"{sys.executable} -m hansa.cli.main --profile {profile_file} why-not yard-ocr | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("2/7 zones feasible for yard-ocr")
    assert "Traceback" not in done.stderr


def test_colours_and_widths_do_not_reach_a_pipe(hansa: Hansa) -> None:
    out = hansa("why-not", "yard-ocr").out
    assert "\x1b" not in out
    assert max(len(text) for text in out.splitlines()) > 100


def test_explain_needs_no_operator(hansa: Hansa, service: FakeService) -> None:
    answer = hansa("explain", "transit-denied")
    assert "TRANSIT_DENIED" in answer.out and "what to do:" in answer.out
    assert hansa("explain", "TRANSIT_DENEID").err.endswith("did you mean TRANSIT_DENIED?\n")
    assert not service.calls


def test_a_reader_that_has_had_enough_is_no_change(workload_file: Path, profile_file: Path) -> None:
    command = [sys.executable, "-m", "hansa.cli.main", "--profile", str(profile_file)]
    with subprocess.Popen([*command, "plan", "-f", str(workload_file)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 0
