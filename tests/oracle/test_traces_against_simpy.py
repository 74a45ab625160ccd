"""A recorded trace, replayed by three of the product's engines and by programs that share nothing with them.

The second program of the FIFO engines is SimPy's Resource; that of the token engine is ``oracle_tokens``. Every latency
agrees to the nanosecond, which is more than the millionth that is asked for.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import simpy  # type: ignore[import-untyped,import-not-found,unused-ignore]
from hansa_sim.engines import event, static
from hansa_sim.engines.acceleration import Speed
from hansa_sim.engines.arrivals import blocks
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import Paths, Recorded, UserClass, Window, Zones
from hansa_sim.engines.recorder import Run
from hansa_sim.engines.router import Table
from hansa_sim.engines.service import Deterministic
from hansa_sim.engines.token_model import TokenModel
from hansa_sim.engines.tokens import answers_of
from hansa_sim.latency.trace_file import Trace, read_trace
from oracle_tokens import Machine, play

MS = 1_000_000
SERVERS = [3, 1]
THERE_MS, BACK_MS = [[2, 9], [7, 1], [4, 4]], [[3, 8], [6, 2], [5, 3]]
ZONE_OF = [0, 1, 0]
RECORDED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "llm-trace"
L40S = TokenModel(17_371_894_527, 69_122_165, 4_277_932, 151_704, 2_135, 256, 2_048, 40_000)


def _drawn(folder: Path, form: str) -> Path:
    """A trace in a published format, of three hundred requests that come in flocks."""
    rng = np.random.default_rng(5)
    at_ms = np.cumsum(rng.choice([0, 1, 40, 900], 300))
    prompt, generated = rng.integers(1, 3_000, 300), rng.integers(1, 300, 300)
    file = folder / "trace"
    rows = zip(at_ms.tolist(), prompt.tolist(), generated.tolist(), strict=True)
    if form == "azure":
        lines = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
        lines += [
            f"2023-11-16 18:{15 + t // 60_000}:{t // 1_000 % 60:02}.{t % 1_000:03}0000,{p},{g}" for t, p, g in rows
        ]
    else:
        lines = [
            f'{{"timestamp": {t}, "input_length": {p}, "output_length": {g}, "hash_ids": [1]}}' for t, p, g in rows
        ]
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def _published(name: str) -> Trace:
    file = RECORDED / name
    if not file.is_file():
        pytest.skip(f"{file} is not there: traces are not shipped")
    return read_trace(file)


def _demands(trace: Trace, load: float) -> np.ndarray:
    """A service time for each request by its tokens, such that three servers are asked for that load."""
    ns = trace.prompt * 20_000 + trace.generated * 2_000_000
    return np.maximum(np.rint(ns * (load * 3 * trace.period_ns / ns.sum())).astype(np.int64), 1)


def _replayed(trace: Trace, demand_ns: np.ndarray) -> tuple[Measured, Measured, list[tuple[int, int, int]]]:
    """What the static and the event engine measured, and the requests with their users as they were drawn."""
    users = UserClass(
        "users",
        np.arange(3, dtype=np.int32),
        1.0,
        Deterministic(1.0),
        np.array([6.0, 1.0, 3.0]),
        recorded=Recorded(trace.at_ns, demand_ns),
    )
    there, back = (np.array(way, dtype=np.int64) * MS for way in (THERE_MS, BACK_MS))
    horizon_ns = int(trace.at_ns[-1]) + 1
    run = Run.of([users], Paths(there, back, there >= 0), Zones.of(SERVERS), Window(horizon_ns))
    sent = list(blocks([users], 7, horizon_ns))
    table = np.array(ZONE_OF, dtype=np.int32)
    rows = [
        row for one in sent for row in zip(one.at_ns.tolist(), one.user.tolist(), one.demand_ns.tolist(), strict=True)
    ]
    return static.serve(sent, table, run), event.serve(sent, Table(table[:, None]), run, speed=Speed.PLAIN), rows


def _by_simpy(rows: list[tuple[int, int, int]]) -> list[int]:
    """The latency of every request, ns."""
    env = simpy.Environment()
    zones = [simpy.Resource(env, capacity=count) for count in SERVERS]
    found = [0] * len(rows)

    def live(number: int, at: int, user: int, demand: int) -> Generator[simpy.Event, None, None]:
        zone = ZONE_OF[user]
        yield env.timeout(at + THERE_MS[user][zone] * MS)
        with zones[zone].request() as turn:
            yield turn
            yield env.timeout(demand)
        found[number] = env.now + BACK_MS[user][zone] * MS - at

    for number, row in enumerate(rows):
        env.process(live(number, *row))
    env.run()
    return found


def _agree(trace: Trace, load: float) -> None:
    fixed, routed, rows = _replayed(trace, _demands(trace, load))
    latency_ns = _by_simpy(rows)
    assert len(rows) == len(trace)
    for measured in (fixed, routed):
        assert measured.served.tolist() == [len(rows)]
        by_user = [sum(ns for ns, row in zip(latency_ns, rows, strict=True) if row[1] == user) for user in range(3)]
        assert measured.user_sum_ns.tolist() == by_user
        assert measured.latency_max_ns.tolist() == [max(latency_ns)]
        squares = sum(float(ns) ** 2 for ns in latency_ns)
        assert measured.latency_squares[0] == pytest.approx(squares, rel=1e-9)


@pytest.mark.parametrize("form", ["azure", "mooncake"])
@pytest.mark.parametrize("load", [0.3, 0.9, 1.4])
def test_fifo_engines_and_simpy_say_the_same_of_a_drawn_trace(tmp_path: Path, form: str, load: float) -> None:
    _agree(read_trace(_drawn(tmp_path, form)), load)


def test_both_formats_of_the_same_requests_are_the_same_trace(tmp_path: Path) -> None:
    one = read_trace(_drawn(tmp_path, "azure"))
    other = read_trace(_drawn(tmp_path, "mooncake"))
    assert one.at_ns.tolist() == other.at_ns.tolist()
    assert (one.prompt.tolist(), one.generated.tolist()) == (other.prompt.tolist(), other.generated.tolist())


@pytest.mark.parametrize("name", ["AzureLLMInferenceTrace_conv.csv", "mooncake_conversation_trace.csv"])
def test_fifo_engines_and_simpy_say_the_same_of_a_published_trace(name: str) -> None:
    _agree(_published(name).part(0, 1_200_000_000_000), 0.8)


def _tokens_agree(trace: Trace, model: TokenModel, replicas: int) -> None:
    costs = (model.step_ps, model.token_ps, model.sample_ps, model.context_ps, model.attention_ps)
    machine = Machine(*costs, model.sequences, model.step_tokens, model.blocks, model.block_tokens)
    columns = (trace.at_ns, trace.prompt, trace.generated)
    jobs = play(machine, replicas, list(zip(*(column.tolist() for column in columns), strict=True)))
    found = answers_of(model, replicas, columns)
    assert found.tolist() == [[job.begun, job.first, job.last] for job in jobs]
    assert (found[:, 2] >= found[:, 1]).all() and (found[:, 0] >= trace.at_ns).all()


@pytest.mark.parametrize("form", ["azure", "mooncake"])
def test_the_token_engine_and_a_second_program_say_the_same_of_a_drawn_trace(tmp_path: Path, form: str) -> None:
    _tokens_agree(read_trace(_drawn(tmp_path, form)), L40S, 2)


def test_the_token_engine_and_a_second_program_say_the_same_of_a_published_trace() -> None:
    _tokens_agree(_published("AzureLLMInferenceTrace_conv.csv").part(0, 300_000_000_000), L40S, 1)
