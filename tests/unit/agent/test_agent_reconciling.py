"""What is started and stopped, by the life of one instance."""

from __future__ import annotations

import itertools

import pytest
from agent_orders import DIGEST, Middle, at, desired
from hansa_agent.instance_life import TRANSITIONS, Act, Happening, Phase
from hansa_agent.reconciliation import Action, Reconciliation, RestartPolicy

from hansa.v1.common_pb2 import ArtefactRef
from hansa.v1.instance_pb2 import INSTANCE_STATE_FAILED, INSTANCE_STATE_READY, INSTANCE_STATE_STARTING

POLICY = RestartPolicy(backoff_ms_min=100, backoff_ms_max=1_000, quick_failures_max=4, stop_grace_ms=2_000)


def fresh() -> Reconciliation:
    return Reconciliation(POLICY, Middle())


def acts(actions: tuple[Action, ...]) -> list[Act]:
    return [action.act for action in actions]


def started() -> Reconciliation:
    subject = fresh()
    assert acts(subject.desire({"c1-0": desired()}, at(0))) == [Act.START]
    return subject


def phase(subject: Reconciliation) -> Phase:
    return subject.lives["c1-0"].phase


def test_table_has_one_row_for_a_phase_and_a_happening() -> None:
    keys = [(row.phase, row.happening) for row in TRANSITIONS]
    assert len(set(keys)) == len(keys)


def test_every_living_phase_can_be_left_by_withdrawal() -> None:
    withdrawable = {row.phase for row in TRANSITIONS if row.happening is Happening.WITHDRAWN}
    assert withdrawable == set(Phase) - {Phase.STOPPING, Phase.GONE}


def test_same_orders_again_do_nothing() -> None:
    subject = started()
    assert subject.desire({"c1-0": desired()}, at(1)) == ()


def test_ready_instance_is_reported_with_its_endpoint_and_a_starting_one_without() -> None:
    subject = started()
    urls = {"c1-0": "https://h:1"}
    assert subject.statuses(urls)["c1-0"].state == INSTANCE_STATE_STARTING
    assert subject.statuses(urls)["c1-0"].endpoint_url == ""
    subject.on_ready("c1-0", at(5))
    status = subject.statuses(urls)["c1-0"]
    assert (status.state, status.endpoint_url, status.claim) == (INSTANCE_STATE_READY, "https://h:1", "c1")
    assert status.started_at_ms == at(0).wall_ms and status.fencing_token == 7


def test_an_instance_that_ceases_to_be_ready_has_its_time_to_answer_again() -> None:
    subject = started()
    subject.on_ready("c1-0", at(5))
    assert subject.on_unready("c1-0", "its readiness probe fails", at(9)) == ()
    status = subject.statuses({"c1-0": "https://h:1"})["c1-0"]
    assert (status.state, status.endpoint_url) == (INSTANCE_STATE_STARTING, "")
    assert status.message == "its readiness probe fails"
    subject.on_ready("c1-0", at(10))
    assert phase(subject) is Phase.READY and subject.next_due_ms() is None


def test_an_instance_that_does_not_answer_again_in_time_is_killed_and_counts_as_failed() -> None:
    subject = started()
    subject.on_ready("c1-0", at(5))
    subject.on_unready("c1-0", "its readiness probe fails", at(9))
    assert acts(subject.tick(at(9 + POLICY.ready_timeout_ms))) == [Act.KILL]
    assert subject.statuses({})["c1-0"].message == "not ready in time: its readiness probe fails"
    assert acts(subject.tick(at(9 + POLICY.ready_timeout_ms + POLICY.stop_grace_ms))) == [Act.KILL]
    assert subject.statuses({})["c1-0"].message == "not ready in time: its readiness probe fails"
    subject.on_exited("c1-0", "ended by signal 9", at(20_000))
    assert phase(subject) is Phase.PENDING


def test_what_keeps_an_instance_from_being_ready_is_told_once_and_forgotten_once_it_is() -> None:
    subject = started()
    assert not subject.on_trouble("c1-0", "")
    assert subject.on_trouble("c1-0", "0/2 nodes are available")
    assert not subject.on_trouble("c1-0", "0/2 nodes are available")
    assert subject.statuses({})["c1-0"].message == "0/2 nodes are available"
    subject.on_ready("c1-0", at(5))
    assert subject.statuses({})["c1-0"].message == ""
    assert not subject.on_trouble("c1-0", "too late") and not subject.on_trouble("ghost", "nobody")


def test_backoff_doubles_with_each_failure_in_a_row() -> None:
    subject, now_ms, waits = started(), 0, []
    for _ in range(3):
        assert subject.on_exited("c1-0", "ended with status 1", at(now_ms)) == ()
        due_ms = subject.next_due_ms()
        assert due_ms is not None
        assert subject.tick(at(due_ms - 1)) == ()
        waits.append(due_ms - now_ms)
        now_ms = due_ms
        assert acts(subject.tick(at(now_ms))) == [Act.START]
    assert waits == [75, 150, 300]
    subject.on_exited("c1-0", "ended with status 1", at(now_ms))
    status = subject.statuses({})["c1-0"]
    assert status.state == INSTANCE_STATE_FAILED and status.restarts == 3
    assert status.message == "given up after 4 failures in a row: ended with status 1"
    assert subject.tick(at(10**9)) == ()


def test_backoff_is_bounded() -> None:
    subject = Reconciliation(RestartPolicy(backoff_ms_min=100, backoff_ms_max=400, quick_failures_max=99), Middle())
    subject.desire({"c1-0": desired()}, at(0))
    now_ms = 0
    for _ in range(30):
        subject.on_exited("c1-0", "", at(now_ms))
        now_ms = subject.next_due_ms() or 0
        subject.tick(at(now_ms))
    subject.on_exited("c1-0", "", at(now_ms))
    assert (subject.next_due_ms() or 0) - now_ms == 300


def test_failure_after_a_long_life_starts_counting_anew() -> None:
    subject = started()
    for start_ms in itertools.islice(itertools.count(0, 100_000), 10):
        subject.tick(at(start_ms))
        subject.on_ready("c1-0", at(start_ms + 1))
        subject.on_exited("c1-0", "ended by signal 9", at(start_ms + 90_000))
        assert phase(subject) is Phase.PENDING and subject.lives["c1-0"].failures == 1


def test_refused_start_is_tried_again_unless_it_cannot_help() -> None:
    subject = started()
    subject.on_start_refused("c1-0", "no port is free", at(0))
    assert phase(subject) is Phase.PENDING
    subject.tick(at(1_000))
    subject.on_start_refused("c1-0", "wrong digest", at(1_000), permanent=True)
    assert phase(subject) is Phase.FAILED and subject.lives["c1-0"].message == "wrong digest"


def test_failed_instance_is_started_under_another_order_only() -> None:
    subject = started()
    subject.on_start_refused("c1-0", "wrong digest", at(0), permanent=True)
    assert subject.desire({"c1-0": desired()}, at(1)) == ()
    assert acts(subject.desire({"c1-0": desired(fencing_token=8)}, at(2))) == [Act.START]
    assert subject.lives["c1-0"].restarts == 0


def test_withdrawn_instance_is_told_killed_after_the_grace_and_forgotten_when_it_ended() -> None:
    subject = started()
    subject.on_ready("c1-0", at(1))
    assert acts(subject.desire({}, at(10))) == [Act.STOP]
    assert subject.tick(at(2_009)) == ()
    assert acts(subject.tick(at(2_010))) == [Act.KILL]
    assert subject.tokens() == {"c1": 7}, "the token is kept while anything is left"
    assert acts(subject.on_exited("c1-0", "ended by signal 9", at(2_020))) == [Act.FORGET]
    assert subject.lives == {} and subject.tokens() == {}


def test_instance_not_ready_in_time_is_killed() -> None:
    subject = started()
    assert acts(subject.tick(at(POLICY.ready_timeout_ms))) == [Act.KILL]
    subject.on_exited("c1-0", "not ready in time", at(POLICY.ready_timeout_ms + 1))
    assert phase(subject) is Phase.PENDING and subject.lives["c1-0"].failures == 1


@pytest.mark.parametrize("token", [7, 8])
def test_other_artefact_replaces_the_process(token: int) -> None:
    subject = started()
    other = desired(artefact=ArtefactRef(name="other", digest=DIGEST), fencing_token=token)
    assert acts(subject.desire({"c1-0": other}, at(1))) == [Act.STOP]
    actions = subject.on_exited("c1-0", "", at(2))
    assert acts(actions) == [Act.START] and actions[0].order.artefact.name == "other"


def test_greater_token_is_taken_over_in_place() -> None:
    subject = started()
    assert subject.desire({"c1-0": desired(fencing_token=9)}, at(1)) == ()
    assert subject.statuses({})["c1-0"].fencing_token == 9 and subject.tokens() == {"c1": 9}


def test_order_that_comes_back_while_stopping_starts_after_the_end() -> None:
    subject = started()
    subject.desire({}, at(1))
    assert subject.desire({"c1-0": desired()}, at(2)) == ()
    assert acts(subject.on_exited("c1-0", "", at(3))) == [Act.START]


def test_withdrawn_while_being_started_and_then_refused_is_forgotten() -> None:
    subject = started()
    subject.desire({}, at(1))
    assert acts(subject.on_start_refused("c1-0", "wrong digest", at(2), permanent=True)) == [Act.FORGET]
    assert subject.lives == {}


def test_late_reports_of_unknown_instances_are_ignored() -> None:
    subject = fresh()
    assert subject.on_exited("ghost", "", at(0)) == () and subject.on_ready("ghost", at(0)) == ()
    assert subject.lives == {} and subject.next_due_ms() is None
