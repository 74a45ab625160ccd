"""The token engine: zones whose replicas batch requests continuously, and what users see of an answer's tokens.

Routing is fixed per request, as in ``static``; within its zone a request goes to the replica with the fewest requests.
``token_plain`` and ``token_kernel`` say the same to the last bit. All requests of a run are kept while it goes on, some
hundred bytes each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hansa_sim.engines import token_kernel as kernel
from hansa_sim.engines import token_plain
from hansa_sim.engines.acceleration import Speed, is_compiled
from hansa_sim.engines.measured import Measured
from hansa_sim.engines.model import NOWHERE, Block, Indices, Ints
from hansa_sim.engines.record_kernel import Visits
from hansa_sim.engines.recorder import Recorder, Run
from hansa_sim.engines.static import check_table, lose_lost
from hansa_sim.engines.static_compiled import Ways
from hansa_sim.engines.token_model import TokenModel, unpacked
from hansa_sim.engines.token_times import Times, TokenTimes


@dataclass(frozen=True, slots=True)
class Fleet:
    """Replicas in each zone; a zone without any has a model of None."""

    models: tuple[TokenModel | None, ...]
    replicas: tuple[int, ...]

    def servers(self) -> Ints:
        """(Z,): requests that may be in batches at once, 1 at least, as ``Zones`` wants them."""
        pairs = zip(self.models, self.replicas, strict=True)
        return np.array([max(1, count * (model.sequences if model else 0)) for model, count in pairs], dtype=np.int64)


def serve(blocks: Iterable[Block], zone_of: Indices, run: Run, fleet: Fleet, speed: Speed = Speed.AUTO) -> Measured:
    """Serves every request, whose demands are packed tokens, in its row's zone. Raises ValueError where a zone of
    ``zone_of`` has no replica, or is not open to its row.

    A request that would not fit into a replica's memory alone is turned away.
    """
    check_table(zone_of[:, None], run.paths)
    for zone in np.unique(zone_of[zone_of != NOWHERE]).tolist():
        if fleet.models[zone] is None or fleet.replicas[zone] < 1:
            raise ValueError(f"zone {zone} has no replica")
    ways, recorder = Ways.of(zone_of, run.paths), Recorder(run)
    sent, first = [], 0
    for block in blocks:
        if not ways.placed.all():
            lose_lost(block, ways.placed, recorder, run.paths)
        recorder.make_room(first + len(block))
        keep = ways.placed[block.user]
        number = np.arange(first, first + len(block))[keep]
        sent.append((number, block.user[keep].astype(np.int64), block.at_ns[keep], block.demand_ns[keep]))
        first += len(block)
    columns = [np.concatenate(column) for column in zip(*sent, strict=True)] if sent else [np.zeros(0, np.int64)] * 4
    seen = _Seen([], [])
    for zone, (model, replicas) in enumerate(zip(fleet.models, fleet.replicas, strict=True)):
        mine = ways.zone[columns[1]] == zone
        if model is not None and mine.any():
            part = [column[mine] for column in columns]
            _serve_zone((zone, model, replicas), part, ways, recorder, (seen, speed))
    return seen.measured(recorder)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What users saw, zone after zone: time to the first token, time per token (-1 for one token alone); and tokens."""

    times: list[tuple[Ints, Ints]]
    tokens: list[tuple[int, int]]

    def measured(self, recorder: Recorder) -> Measured:
        none = np.zeros(0, np.int64)
        first, each = (np.concatenate(column) for column in zip(*(self.times or [(none, none)]), strict=True))
        times = TokenTimes(
            first=Times.of(first),
            per_token=Times.of(each[each >= 0]),
            prompt_tokens=sum(prompt for prompt, _ in self.tokens),
            generated_tokens=sum(generated for _, generated in self.tokens),
        )
        return replace(recorder.measured(), tokens=times)


def _serve_zone(
    zone: tuple[int, TokenModel, int], sent: Sequence[Ints], ways: Ways, recorder: Recorder, to: tuple[_Seen, Speed]
) -> None:
    """Serves the requests of one zone, and records what came of them."""
    at, model, replicas = zone
    reach_ns = sent[2] + ways.there_ns[sent[1]]
    order = np.argsort(reach_ns, kind="stable")
    number, user, at_ns, demand, reach_ns = (column[order] for column in (*sent, reach_ns))
    prompt, generated = unpacked(demand)
    fits = model.fits(prompt, generated)
    recorder.turn_away(np.full(int((~fits).sum()), at, np.int64), reach_ns[~fits])
    recorder.lose(user[~fits], at_ns[~fits], 0)
    number, user, at_ns, reach_ns, prompt, generated = (
        column[fits] for column in (number, user, at_ns, reach_ns, prompt, generated)
    )
    if not len(number):
        return
    start_ns, first_ns, last_ns = answers_of(model, replicas, (reach_ns, prompt, generated), to[1]).T
    work_ns = np.rint(model.work_ps(prompt, generated) * (model.sequences / 1_000)).astype(np.int64)
    latency_ns = last_ns + ways.back_ns[user] - at_ns
    zones = np.full(len(number), at, np.int64)
    recorder.record(Visits(number, user, zones, at_ns, reach_ns, start_ns, last_ns, latency_ns, work_ns))
    inside = (at_ns >= recorder.run.window.begin_ns) & (at_ns < recorder.run.window.end_ns)
    each_ns = np.where(generated > 1, (last_ns - first_ns) // np.maximum(generated - 1, 1), -1)
    to_first = first_ns + ways.back_ns[user] - at_ns
    to[0].times.append((to_first[inside], each_ns[inside]))
    to[0].tokens.append((int(prompt[inside].sum()), int(generated[inside].sum())))


def answers_of(model: TokenModel, replicas: int, requests: tuple[Ints, Ints, Ints], speed: Speed = Speed.AUTO) -> Ints:
    """(N, 3): when requests (reaching, in order; prompt; generated tokens; each (N,)) start, and give their first and
    their last token, ns."""
    if not is_compiled(speed):
        rows = list(zip(*(column.tolist() for column in requests), strict=True))
        return np.array(token_plain.serve_zone(model, replicas, rows), dtype=np.int64).reshape(-1, 3)
    answers = np.zeros((len(requests[0]), kernel.ANSWER_COLUMNS), np.int64)
    answers[:, [kernel.REACH, kernel.PROMPT, kernel.GENERATED]] = np.stack(requests, axis=1)
    answers[:, [kernel.START, kernel.FIRST, kernel.LAST]] = -1
    times = (model.step_ps, model.token_ps, model.sample_ps, model.context_ps, model.attention_ps)
    limits = (model.sequences, model.step_tokens, model.blocks, model.block_tokens)
    kernel.serve_zone(np.array([*times, *limits], dtype=np.int64), replicas, answers)
    return np.asarray(answers[:, [kernel.START, kernel.FIRST, kernel.LAST]])
