"""What is promised of one workload name to those who submit, delete and look: the object that histories are judged by.

Two things happen without being asked: a workload that is being deleted is gone at some time, and its revision grows as
it is placed and moved. A request id that was carried out is carried out once: asked again, it changes nothing.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from hansa_sim.history import Call, History, Outcome, Seen, Verb
from hansa_sim.linearizability import unexplained

UNSEEN = "?"
"""The uid of a workload that was accepted without an answer, until somebody sees it."""


class Name(NamedTuple):
    """A workload name. ``uid`` is empty if there is none of it; ``revision`` is the least that it may have by now.

    ``done`` are the request ids that were carried out, ``gone`` the uids that must never be seen again.
    """

    uid: str = ""
    generation: int = 0
    spec: str = ""
    is_deleting: bool = False
    revision: int = 0
    done: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


class WorkloadPromise:
    """The sequential specification of a workload name, for those calls alone that it is made of.

    Request ids that are used once need not be remembered, which leaves far fewer states to look into.
    """

    def __init__(self, calls: Iterable[Call]) -> None:
        used = Tally(call.request_id for call in calls)
        self._repeated = frozenset(request_id for request_id, count in used.items() if count > 1)

    def likeness(self, call: Call) -> tuple[str, ...]:
        """What a call does; its request id counts if it is used again."""
        return (call.verb, call.spec, str(call.etag), call.request_id if call.request_id in self._repeated else "")

    def initial(self) -> Name:
        """Nothing was ever submitted."""
        return Name()

    def after(self, state: Name, call: Call) -> Iterable[Name]:
        """What the name may be after a call that was answered so."""
        verbs = {Verb.SUBMIT: _after_submit, Verb.DELETE: _after_delete, Verb.LOOK: _after_look}
        for now in _by_itself(state):
            for after in verbs[call.verb](now, call):
                after = after._replace(done=after.done & self._repeated) if len(after.done) > len(now.done) else after
                if after != now or call.outcome is not Outcome.UNKNOWN:
                    yield after


def judge(history: History, break_: Callable[[str], None]) -> None:
    """Breaks whatever name's calls cannot be explained by what is promised, with the calls that nothing explains."""
    for key, calls in history.by_key():
        needed = without_repeats(calls)
        stuck = unexplained(WorkloadPromise(needed), needed)
        if stuck:
            break_(f"{key}: nothing explains " + "; ".join(str(call) for call in stuck))


def without_repeats(calls: Iterable[Call]) -> list[Call]:
    """The calls without those of UNKNOWN outcome that repeat an earlier one: together they are done once at most, and
    the earlier one may be done whenever the later one may.
    """
    kept, known = list[Call](), set[str]()
    for call in sorted(calls, key=lambda call: call.invoked_us):
        if call.outcome is Outcome.UNKNOWN:
            if call.verb is Verb.LOOK or call.request_id in known:
                continue
            known.add(call.request_id)
        kept.append(call)
    return kept


def _by_itself(state: Name) -> Iterator[Name]:
    yield state
    if state.is_deleting:
        yield Name(done=state.done, gone=state.gone | {state.uid})


def _shows(state: Name, seen: Seen | None) -> Iterator[Name]:
    """The name, if an answer that showed ``seen`` is true of it."""
    if seen is None or not state.uid:
        if seen is None and not state.uid:
            yield state
        return
    known = state.uid == seen.uid or (state.uid == UNSEEN and seen.uid not in state.gone)
    same = (state.generation, state.spec, state.is_deleting) == (seen.generation, seen.spec, seen.is_deleting)
    if known and same and seen.revision >= state.revision:
        yield state._replace(uid=seen.uid, revision=seen.revision)


def _answered(states: Iterable[Name], call: Call) -> Iterator[Name]:
    """Those of the states that the answer is true of; all of them if there was none."""
    for state in states:
        done = state._replace(done=state.done | {call.request_id})
        if call.outcome is Outcome.UNKNOWN:
            yield done
        else:
            yield from _shows(done, call.seen)


def _after_submit(state: Name, call: Call) -> Iterator[Name]:
    repeated = call.request_id in state.done
    if call.outcome is Outcome.REFUSED:
        lost = repeated and (not state.uid or state.is_deleting)
        if (call.reason == "NOT_FOUND" and lost) or (
            call.reason == "ALREADY_EXISTS" and state.is_deleting and not repeated
        ):
            yield state
        return
    if not state.uid:
        accepted = state._replace(uid=UNSEEN, generation=1, spec=call.spec, revision=1)
        yield from _answered([] if repeated else [accepted], call)
    elif not state.is_deleting and (repeated or state.spec == call.spec):
        yield from _answered([state], call)
    elif not state.is_deleting:
        changed = state._replace(generation=state.generation + 1, spec=call.spec, revision=state.revision + 1)
        yield from _answered([changed], call)


def _after_delete(state: Name, call: Call) -> Iterator[Name]:
    repeated = call.request_id in state.done
    again = bool(state.uid) and repeated and not state.is_deleting
    if call.outcome is Outcome.REFUSED:
        absent = call.reason == "NOT_FOUND" and (not state.uid or again)
        if absent or (call.reason == "ETAG_MISMATCH" and state.uid and call.etag and not repeated):
            yield state
        return
    if not state.uid or again:
        return
    if call.etag and not repeated:
        if state.revision > call.etag:
            return
        state = state._replace(revision=call.etag)
    marked = state if state.is_deleting else state._replace(is_deleting=True, revision=state.revision + 1)
    for after in _answered([marked], call):
        if not (call.etag and call.seen and not repeated) or call.seen.revision == marked.revision:
            yield after


def _after_look(state: Name, call: Call) -> Iterator[Name]:
    if call.outcome is Outcome.OK:
        yield from _shows(state, call.seen)
