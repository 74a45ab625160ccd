"""What to start and what to stop: orders are level-triggered, the set of them is what must run.

Pure. ``Reconciliation`` takes the orders and what happened to the instances and answers with actions; a real and a
simulated runtime carry out the same ones. ``hansa_agent.instance_life`` has the life of one instance as data. Times are
monotonic milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from hansa.v1.instance_pb2 import (
    INSTANCE_STATE_FAILED,
    INSTANCE_STATE_READY,
    INSTANCE_STATE_STARTING,
    INSTANCE_STATE_STOPPING,
    DesiredInstance,
    InstanceState,
    InstanceStatus,
)
from hansa_agent.instance_life import TRANSITIONS, Act, Happening, Phase, Transition
from hansa_agent.order_substance import substance_of
from hansa_agent.ports import Instant, Random

_ROWS: Mapping[tuple[Phase, Happening], Transition] = {(row.phase, row.happening): row for row in TRANSITIONS}
_WIRE: Mapping[Phase, InstanceState.ValueType] = {
    Phase.PENDING: INSTANCE_STATE_STARTING,
    Phase.STARTING: INSTANCE_STATE_STARTING,
    Phase.READY: INSTANCE_STATE_READY,
    Phase.STOPPING: INSTANCE_STATE_STOPPING,
    Phase.FAILED: INSTANCE_STATE_FAILED,
}


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How patiently an instance is treated.

    After a failure it waits ``backoff_ms_min``, doubled with each failure in a row up to ``backoff_ms_max``, times a
    random number in [0.5, 1]. A failure is quick if the process lived under ``quick_ms``; ``quick_failures_max`` of
    them in a row make it FAILED. Zero ``ready_timeout_ms`` waits for ever.
    """

    backoff_ms_min: int = 250
    backoff_ms_max: int = 30_000
    quick_ms: int = 10_000
    quick_failures_max: int = 5
    ready_timeout_ms: int = 120_000
    stop_grace_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Action:
    """One thing for the runtime to do, with the order that it is done under."""

    act: Act
    instance: str
    order: DesiredInstance


@dataclass(frozen=True, slots=True)
class Life:
    """All that is known of an instance. ``due_ms`` is None when it waits for nothing."""

    order: DesiredInstance
    phase: Phase
    due_ms: int | None = None
    restarts: int = 0
    failures: int = 0
    started_ms: int = 0
    started_at_ms: int = 0
    message: str = ""


class Reconciliation:
    """Holds the life of every instance and says what follows from orders and happenings."""

    def __init__(self, policy: RestartPolicy, random: Random, adopted: Mapping[str, Life] | None = None) -> None:
        self._policy = policy
        self._random = random
        self._lives: dict[str, Life] = dict(adopted or {})
        self._desired: dict[str, DesiredInstance] = {name: life.order for name, life in self._lives.items()}

    @property
    def lives(self) -> Mapping[str, Life]:
        """Every instance that runs, ran or is to run, by name."""
        return self._lives

    def tokens(self) -> dict[str, int]:
        """The highest fencing token seen per claim, as long as an instance of the claim exists."""
        highest: dict[str, int] = {}
        for order in [*(life.order for life in self._lives.values()), *self._desired.values()]:
            highest[order.claim] = max(highest.get(order.claim, 0), order.fencing_token)
        return highest

    def next_due_ms(self) -> int | None:
        """When ``tick`` is to be called next, or None."""
        return min((life.due_ms for life in self._lives.values() if life.due_ms is not None), default=None)

    def desire(self, orders: Mapping[str, DesiredInstance], now: Instant) -> tuple[Action, ...]:
        """``orders``, by instance, is from now on all that must run."""
        self._desired = dict(sorted(orders.items()))
        for name in self._desired:
            if name not in self._lives:
                self._lives[name] = Life(self._desired[name], Phase.PENDING, now.monotonic_ms)
        actions = [action for name in sorted(self._lives) for action in self._compare(name, now)]
        return (*actions, *self.tick(now))

    def tick(self, now: Instant) -> tuple[Action, ...]:
        """Does what is due."""
        due = [
            name for name, life in self._lives.items() if life.due_ms is not None and life.due_ms <= now.monotonic_ms
        ]
        return tuple(action for name in sorted(due) for action in self._happen(name, Happening.DUE, now))

    def on_ready(self, instance: str, now: Instant) -> tuple[Action, ...]:
        """It says that it is ready and takes connections."""
        return self._happen(instance, Happening.BECAME_READY, now)

    def on_unready(self, instance: str, message: str, now: Instant) -> tuple[Action, ...]:
        """It was ready and is not any more; ``message`` says why, for a person."""
        return self._happen(instance, Happening.CEASED_TO_BE_READY, now, message)

    def on_silence(self, instance: str, now: Instant) -> None:
        """Nobody can say at present how it is; its time to become ready begins anew once somebody can."""
        life = self._lives.get(instance)
        if life is not None and life.phase is Phase.STARTING and life.due_ms is not None:
            self._lives[instance] = replace(life, due_ms=self._ready_due_ms(now))

    def on_trouble(self, instance: str, message: str) -> bool:
        """What keeps it from being ready, for a person; whether that is news."""
        life = self._lives.get(instance)
        if life is None or life.phase is not Phase.STARTING or not message or life.message == message:
            return False
        self._lives[instance] = replace(life, message=message)
        return True

    def on_exited(self, instance: str, message: str, now: Instant) -> tuple[Action, ...]:
        """It ended; ``message`` says how, for a person."""
        return self._happen(instance, Happening.EXITED, now, message)

    def on_start_refused(
        self, instance: str, message: str, now: Instant, *, permanent: bool = False
    ) -> tuple[Action, ...]:
        """It was not started; ``permanent`` when trying again cannot help."""
        life = self._lives.get(instance)
        if permanent and life is not None and life.phase is Phase.STARTING:
            self._lives[instance] = replace(life, phase=Phase.FAILED, due_ms=None, message=message)
            return ()
        return self._happen(instance, Happening.START_REFUSED, now, message)

    def statuses(self, endpoint_urls: Mapping[str, str]) -> dict[str, InstanceStatus]:
        """What to report, by instance. The endpoint is told once the instance is ready."""
        return {name: _status(life, endpoint_urls.get(name, "")) for name, life in sorted(self._lives.items())}

    def _compare(self, name: str, now: Instant) -> tuple[Action, ...]:
        life, wanted = self._lives[name], self._desired.get(name)
        if wanted is None:
            return self._happen(name, Happening.WITHDRAWN, now)
        if life.order == wanted or life.phase is Phase.STOPPING:
            return ()
        if substance_of(life.order) == substance_of(wanted) and life.phase is not Phase.FAILED:
            self._lives[name] = replace(life, order=wanted)
            return ()
        return self._happen(name, Happening.CHANGED, now)

    def _happen(self, name: str, happening: Happening, now: Instant, message: str = "") -> tuple[Action, ...]:
        life = self._lives.get(name)
        row = _ROWS.get((life.phase, happening)) if life is not None else None
        if life is None or row is None:
            return ()
        after = self._enter(replace(life, message=message or life.message), row, now)
        if after.phase is Phase.GONE and name in self._desired:
            self._lives[name] = Life(self._desired[name], Phase.PENDING, now.monotonic_ms)
            return self.tick(now)
        if after.phase is Phase.GONE:
            del self._lives[name]
        else:
            self._lives[name] = after
        return (Action(row.act, name, after.order),) if row.act is not None else ()

    def _enter(self, life: Life, row: Transition, now: Instant) -> Life:
        if row.happening in (Happening.EXITED, Happening.START_REFUSED) and row.target is Phase.PENDING:
            return self._after_failure(life, now)
        if row.act is Act.START:
            return self._begun(life, now)
        if row.happening is Happening.CEASED_TO_BE_READY:
            return replace(life, phase=Phase.STARTING, due_ms=self._ready_due_ms(now))
        if row.act is Act.KILL:
            why = life.message if row.phase is Phase.STOPPING else _not_in_time(life.message)
            return replace(life, message=why, due_ms=now.monotonic_ms + self._policy.stop_grace_ms)
        if row.target is Phase.STOPPING:
            return replace(life, phase=Phase.STOPPING, message="", due_ms=now.monotonic_ms + self._policy.stop_grace_ms)
        if row.happening is Happening.CHANGED:
            return Life(self._desired[life.order.instance], Phase.PENDING, now.monotonic_ms)
        return replace(life, phase=row.target, due_ms=None, message="")

    def _begun(self, life: Life, now: Instant) -> Life:
        began = replace(life, phase=Phase.STARTING, due_ms=self._ready_due_ms(now), started_ms=now.monotonic_ms)
        return replace(began, started_at_ms=now.wall_ms, message="")

    def _ready_due_ms(self, now: Instant) -> int | None:
        timeout_ms = self._policy.ready_timeout_ms
        return now.monotonic_ms + timeout_ms if timeout_ms else None

    def _after_failure(self, life: Life, now: Instant) -> Life:
        quick = now.monotonic_ms - life.started_ms < self._policy.quick_ms or life.phase is Phase.STARTING
        failures = life.failures + 1 if quick else 1
        if failures >= self._policy.quick_failures_max:
            message = f"given up after {failures} failures in a row: {life.message}"
            return replace(life, phase=Phase.FAILED, failures=failures, due_ms=None, message=message)
        longest_ms = min(self._policy.backoff_ms_min << min(failures - 1, 20), self._policy.backoff_ms_max)
        delay_ms = int(longest_ms * self._random.uniform(0.5, 1.0))
        waiting = replace(life, phase=Phase.PENDING, failures=failures, due_ms=now.monotonic_ms + delay_ms)
        return replace(waiting, restarts=life.restarts + 1)


def instances_of(orders: Iterable[DesiredInstance]) -> dict[str, DesiredInstance]:
    """Orders by instance."""
    return {order.instance: order for order in orders}


def _not_in_time(trouble: str) -> str:
    told = "not ready in time"
    if trouble.startswith(told):
        return trouble
    return f"{told}: {trouble}" if trouble else told


def _status(life: Life, endpoint_url: str) -> InstanceStatus:
    return InstanceStatus(
        instance=life.order.instance,
        claim=life.order.claim,
        state=_WIRE[life.phase],
        endpoint_url=endpoint_url if life.phase is Phase.READY else "",
        restarts=life.restarts,
        message=life.message,
        fencing_token=life.order.fencing_token,
        started_at_ms=life.started_at_ms,
    )
