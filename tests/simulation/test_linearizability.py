"""Histories written by hand: which of them app teams may be told, and which never."""

from __future__ import annotations

import pytest
from hansa_sim import linearizability
from hansa_sim.history import Call, Outcome, Seen, Verb
from hansa_sim.linearizability import TooLarge, unexplained
from hansa_sim.workload_promise import WorkloadPromise, without_repeats


def seen(uid: str, revision: int = 1, generation: int = 1, spec: str = "s", *, deleting: bool = False) -> Seen:
    return Seen(uid, generation, spec, deleting, revision)


def call(verb: Verb, begin: int, end: int | None, told: Seen | None = None, **asked: object) -> Call:
    """An answered call, or one without an answer where ``end`` is None."""
    outcome = Outcome.UNKNOWN if end is None else Outcome.REFUSED if "reason" in asked else Outcome.OK
    at = {"request_id": f"r{begin}", "spec": "s" if verb is Verb.SUBMIT else "", **asked}
    return Call("team", "name", verb, begin, outcome=outcome, answered_us=end, seen=told, **at)  # type: ignore[arg-type]


def submit(begin: int, end: int | None, told: Seen | None = None, **asked: object) -> Call:
    return call(Verb.SUBMIT, begin, end, told, **asked)


def delete(begin: int, end: int | None, told: Seen | None = None, **asked: object) -> Call:
    return call(Verb.DELETE, begin, end, told, **asked)


def look(begin: int, end: int | None, told: Seen | None = None) -> Call:
    return call(Verb.LOOK, begin, end, told)


def stuck(*calls: Call) -> tuple[Call, ...]:
    needed = without_repeats(calls)
    return unexplained(WorkloadPromise(needed), needed)


SOUND = {
    "nothing was asked": (),
    "a submit is seen, grows and goes": (
        submit(0, 1, seen("u")),
        look(2, 3, seen("u", 5)),
        delete(4, 5, seen("u", 8, deleting=True)),
        look(6, 7, seen("u", 9, deleting=True)),
        look(8, 9),
    ),
    "a look beside a submit may see it or not": (submit(0, 9, seen("u")), look(1, 2), look(3, 4, seen("u"))),
    "a submit without an answer happens later": (submit(0, None), look(1, 2), look(8, 9, seen("u"))),
    "a submit without an answer never happens": (submit(0, None), look(1, 2), look(8, 9)),
    "asked again, it is done once": (
        submit(0, None, request_id="r"),
        look(2, 3, seen("u")),
        submit(4, 5, seen("u", 3), request_id="r"),
    ),
    "a deletion without an answer": (submit(0, 1, seen("u")), delete(2, None), look(3, 4)),
    "a new one of the same name": (
        submit(0, 1, seen("u")),
        delete(2, 3, seen("u", 2, deleting=True)),
        submit(4, 5, reason="ALREADY_EXISTS"),
        submit(6, 7, seen("v")),
    ),
    "a repeated submit of what is gone": (
        submit(0, 1, seen("u"), request_id="r"),
        delete(2, 3, seen("u", 2, deleting=True)),
        submit(4, 5, request_id="r", reason="NOT_FOUND"),
        look(6, 7),
    ),
    "another revision than the one that was seen": (
        submit(0, 1, seen("u")),
        delete(2, 3, etag=1, reason="ETAG_MISMATCH"),
        delete(4, 5, seen("u", 5, deleting=True), etag=4),
    ),
    "two specs at the same time": (
        submit(0, 1, seen("u")),
        submit(2, 9, seen("u", 3, 3, "b"), spec="b"),
        submit(2, 9, seen("u", 2, 2, "a"), spec="a", request_id="other"),
        look(10, 11, seen("u", 3, 3, "b")),
    ),
}

UNSOUND = {
    "an accepted submit is lost": (submit(0, 1, seen("u")), look(2, 3)),
    "a deleted workload is back": (
        submit(0, 1, seen("u")),
        delete(2, 3, seen("u", 2, deleting=True)),
        look(4, 5),
        look(6, 7, seen("u", 3, deleting=True)),
    ),
    "a deletion is forgotten": (
        submit(0, 1, seen("u")),
        delete(2, 3, seen("u", 2, deleting=True)),
        look(4, 5, seen("u", 3)),
    ),
    "seen, then not seen": (submit(0, None), look(1, 2, seen("u")), look(3, 4)),
    "it is accepted twice": (submit(0, 1, seen("u")), submit(2, 3, seen("v"))),
    "a request id is carried out twice": (
        submit(0, 1, seen("u"), request_id="r"),
        delete(2, 3, seen("u", 2, deleting=True)),
        look(4, 5),
        submit(6, 7, seen("v"), request_id="r"),
    ),
    "an older revision than was seen": (submit(0, 1, seen("u")), look(2, 3, seen("u", 7)), look(4, 5, seen("u", 6))),
    "a spec that was replaced": (
        submit(0, 1, seen("u")),
        submit(2, 3, seen("u", 2, 2, "t"), spec="t"),
        look(4, 5, seen("u", 3)),
    ),
    "a deletion of a revision that had passed": (
        submit(0, 1, seen("u")),
        look(2, 3, seen("u", 7)),
        delete(4, 5, seen("u", 8, deleting=True), etag=4),
    ),
    "refused although nothing speaks against it": (submit(0, 1, reason="ALREADY_EXISTS"),),
    "not found although it is there": (submit(0, 1, seen("u")), delete(2, 3, reason="NOT_FOUND")),
    "seen before it was asked for": (look(0, 1, seen("u")), submit(2, 3, seen("u"))),
}


@pytest.mark.parametrize("calls", SOUND.values(), ids=SOUND)
def test_what_is_promised_explains(calls: tuple[Call, ...]) -> None:
    assert stuck(*calls) == ()


@pytest.mark.parametrize("calls", UNSOUND.values(), ids=UNSOUND)
def test_nothing_explains(calls: tuple[Call, ...]) -> None:
    assert stuck(*calls)


def test_the_calls_that_nothing_explains_are_told() -> None:
    lost = look(4, 5)
    assert stuck(submit(0, 1, seen("u")), look(2, 3, seen("u")), lost) == (lost,)
    assert "LOOK" in str(lost)


def test_many_calls_without_an_answer_are_judged_in_a_moment() -> None:
    open_calls = [submit(n, None, spec=f"s{n % 3}") for n in range(24)]
    ends = [look(50 + n, 51 + n, seen("u", 2, 2, "s1")) for n in range(3)]
    assert stuck(*open_calls, *ends) == ()
    assert stuck(*open_calls, look(90, 91, seen("u", 1, 1, "nobody's")))


def test_a_history_that_is_too_large_to_judge_is_not_called_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearizability, "CONFIGURATIONS_MAX", 20)
    with pytest.raises(TooLarge):
        stuck(*[submit(n, None, spec=f"s{n}") for n in range(9)], look(50, 51, seen("u", 9, 9, "nobody's")))
