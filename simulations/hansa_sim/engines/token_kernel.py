"""The token engine's loops, in the form that numba compiles: what ``token_plain`` does, step by step.

A request is a row of ``answers``, queues are chains of rows. Blocks that hold what set back requests computed are
counted in their rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hansa_sim.engines.acceleration import jitted
from hansa_sim.engines.model import Ints

REACH, PROMPT, GENERATED, START, FIRST, LAST, DONE, MADE, HELD, CACHED, CHUNK, NEXT = range(12)
"""Columns of a request; times in ns, -1 until they are known."""

ANSWER_COLUMNS = 12

NOW, STEPS, UNUSED, FREE, BATCH, SET_BACK, SET_BACK_FIRST, WAITING, WAITING_FIRST, WAITING_LAST = range(10)
"""Columns of a replica: see ``token_plain.Replica``; FREE are UNUSED blocks and those of set back requests."""

REPLICA_COLUMNS = 10

STEP, TOKEN, SAMPLE, CONTEXT, ATTENTION, SEQUENCES, STEP_TOKENS, BLOCKS, BLOCK_TOKENS = range(9)
"""Places of the model's figures; times in ps."""

FAR_PS = 1 << 61
PS_NS = 1_000
NOBODY = -1


@jitted
def serve_zone(model: Ints, replicas: int, answers: Ints) -> None:
    """Serves all requests, which are in order of reaching; each goes to the replica with the fewest."""
    servers = np.zeros((replicas, REPLICA_COLUMNS), np.int64)
    batches = np.zeros((replicas, model[SEQUENCES]), np.int64)
    for at in range(replicas):
        servers[at, UNUSED] = servers[at, FREE] = model[BLOCKS]
    for number in range(len(answers)):
        best, fewest = 0, FAR_PS
        for at in range(replicas):
            server = servers[at]
            advance(server, batches[at], answers, model, answers[number, REACH] * PS_NS)
            present = server[BATCH] + server[SET_BACK] + server[WAITING]
            if present < fewest:
                best, fewest = at, present
        join(servers[best], answers, number)
    for at in range(replicas):
        advance(servers[at], batches[at], answers, model, FAR_PS)


@jitted
def join(server: Ints, answers: Ints, number: int) -> None:
    """A request goes to the end of the queue."""
    if server[BATCH] + server[SET_BACK] + server[WAITING] == 0 and server[STEPS] == 0:
        server[NOW] = max(server[NOW], answers[number, REACH] * PS_NS)
    if server[WAITING]:
        answers[server[WAITING_LAST], NEXT] = number
    else:
        server[WAITING_FIRST] = number
    server[WAITING_LAST] = number
    server[WAITING] += 1


@jitted
def advance(server: Ints, batch: Ints, answers: Ints, model: Ints, until: int) -> None:
    """Ends every step that ends until then, and begins every one that begins before."""
    while True:
        if server[STEPS]:
            if server[NOW] > until:
                return
            end(server, batch, answers, model)
        elif server[NOW] >= until or server[BATCH] + server[SET_BACK] + server[WAITING] == 0:
            return
        else:
            begin(server, batch, answers, model, until)


@jitted
def begin(server: Ints, batch: Ints, answers: Ints, model: Ints, until: int) -> None:
    """Decides who gets tokens in the next step, and how long it takes."""
    left, kept = go_on(server, batch, answers, model)
    if kept:
        come_in(server, batch, answers, model, left)
    tokens, samples, context, pairs, only_answers = 0, 0, 0, 0, kept
    for place in range(server[BATCH]):
        one = answers[batch[place]]
        chunk, needed = one[CHUNK], one[PROMPT] + one[MADE] - one[DONE]
        tokens += chunk
        if chunk == needed:
            samples += 1
        if chunk:
            context += one[DONE]
        if needed > 1:
            pairs += chunk * (2 * one[DONE] + chunk)
        if chunk != 1 or needed != 1 or one[MADE] == 0:
            only_answers = False
    length = model[STEP] + model[TOKEN] * tokens + model[SAMPLE] * samples + model[CONTEXT] * context
    length += model[ATTENTION] * pairs // 2
    growth = model[CONTEXT] * server[BATCH]
    server[STEPS] = 1
    if only_answers:
        server[STEPS] = equal_steps(server, batch, answers, model, (length, growth, until))
    server[NOW] += total(length, growth, server[STEPS])


@jitted
def go_on(server: Ints, batch: Ints, answers: Ints, model: Ints) -> tuple[int, bool]:
    """Requests of the batch get their tokens and blocks."""
    left, at, kept, size = model[STEP_TOKENS], 0, True, model[BLOCK_TOKENS]
    for place in range(server[BATCH]):
        answers[batch[place], CHUNK] = 0
    while at < server[BATCH] and left > 0:
        number = batch[at]
        one = answers[number]
        chunk = min(one[PROMPT] + one[MADE] - one[DONE], left)
        more = (one[DONE] + chunk + size - 1) // size - one[HELD]
        while more > server[FREE]:
            kept = False
            if set_back(server, batch, answers, size) == number:
                return left, kept
        take(server, answers, more)
        one[HELD] += more
        one[CHUNK] = chunk
        left -= chunk
        at += 1
    return left, kept


@jitted
def set_back(server: Ints, batch: Ints, answers: Ints, size: int) -> int:
    """The last of the batch goes to the front of the queue."""
    server[BATCH] -= 1
    number: int = batch[server[BATCH]]
    last = answers[number]
    last[CACHED] = last[DONE] // size
    server[UNUSED] += last[HELD] - last[CACHED]
    server[FREE] += last[HELD]
    last[HELD] = last[DONE] = last[CHUNK] = 0
    last[NEXT] = server[SET_BACK_FIRST]
    server[SET_BACK_FIRST] = number
    server[SET_BACK] += 1
    return number


@jitted
def come_in(server: Ints, batch: Ints, answers: Ints, model: Ints, left: int) -> None:
    """Waiting requests join the batch while they can, those that were set back first."""
    size = model[BLOCK_TOKENS]
    while server[SET_BACK] + server[WAITING] > 0 and server[BATCH] < model[SEQUENCES] and left > 0:
        number = server[SET_BACK_FIRST] if server[SET_BACK] else server[WAITING_FIRST]
        one = answers[number]
        needed = one[PROMPT] + one[MADE] - one[DONE]
        if (needed + size - 1) // size > server[FREE]:
            return
        if server[SET_BACK]:
            server[SET_BACK] -= 1
            server[SET_BACK_FIRST] = one[NEXT]
        else:
            server[WAITING] -= 1
            server[WAITING_FIRST] = one[NEXT]
        kept = min(one[CACHED], (needed - 1) // size)
        server[UNUSED] += one[CACHED] - kept
        server[FREE] -= kept
        one[CACHED] = 0
        one[DONE] = kept * size
        chunk = min(needed - one[DONE], left)
        one[CHUNK] = chunk
        one[HELD] = (one[DONE] + chunk + size - 1) // size
        take(server, answers, one[HELD] - kept)
        left -= chunk
        if one[START] < 0:
            one[START] = -(-server[NOW] // PS_NS)
        batch[server[BATCH]] = number
        server[BATCH] += 1


@jitted
def take(server: Ints, answers: Ints, blocks: int) -> None:
    """Blocks without use first, then those of the request that was set back longest ago."""
    server[FREE] -= blocks
    part = min(blocks, server[UNUSED])
    server[UNUSED] -= part
    left = blocks - part
    while left > 0:
        number, oldest = server[SET_BACK_FIRST], NOBODY
        for _ in range(server[SET_BACK]):
            if answers[number, CACHED]:
                oldest = number
            number = answers[number, NEXT]
        part = min(left, answers[oldest, CACHED])
        answers[oldest, CACHED] -= part
        left -= part


@jitted
def equal_steps(server: Ints, batch: Ints, answers: Ints, model: Ints, length: Any) -> int:
    """How many steps like this one follow: until an answer ends, blocks may run out, or somebody may come in."""
    first, growth, until = length
    most = 1 + model[BLOCK_TOKENS] * (server[FREE] // server[BATCH])
    for place in range(server[BATCH]):
        most = min(most, answers[batch[place], GENERATED] - answers[batch[place], MADE])
    low = 1
    while low < most:
        middle = (low + most + 1) // 2
        if server[NOW] + total(first, growth, middle - 1) < until:
            low = middle
        else:
            most = middle - 1
    return low


@jitted
def end(server: Ints, batch: Ints, answers: Ints, model: Ints) -> None:
    """Tokens come out, and finished requests leave."""
    if server[STEPS] > 1:
        grow(server, batch, answers, model[BLOCK_TOKENS])
    now_ns, staying = -(-server[NOW] // PS_NS), 0
    server[STEPS] = 0
    for place in range(server[BATCH]):
        number = batch[place]
        one = answers[number]
        one[DONE] += one[CHUNK]
        if one[CHUNK] and one[DONE] == one[PROMPT] + one[MADE]:
            if one[MADE] == 0:
                one[FIRST] = now_ns
            one[MADE] += 1
        if one[MADE] == one[GENERATED]:
            one[LAST] = now_ns
            server[UNUSED] += one[HELD]
            server[FREE] += one[HELD]
        else:
            batch[staying] = number
            staying += 1
    server[BATCH] = staying


@jitted
def grow(server: Ints, batch: Ints, answers: Ints, size: int) -> None:
    """All but the last of equal steps: everybody has what it needs for the last one before anybody leaves."""
    steps = server[STEPS] - 1
    for place in range(server[BATCH]):
        one = answers[batch[place]]
        one[DONE] += steps
        one[MADE] += steps
        more = (one[DONE] + size) // size - one[HELD]
        take(server, answers, more)
        one[HELD] += more


@jitted
def total(first: int, growth: int, steps: int) -> int:
    """How long so many steps take, each longer than the one before."""
    return first * steps + growth * (steps * (steps - 1) // 2)
