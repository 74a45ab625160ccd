"""The token engine in plain Python: replicas that batch continuously; ``token_kernel`` is the same for numba.

Order of a step, as in vLLM: requests in the batch go on in the order in which they came in; one that finds no block for
its next token takes those of the last in the batch, which goes back to the front of the queue and computes everything
anew but for blocks that nobody has used since. If nobody was set back, waiting requests come in while there are
sequences, tokens and blocks for their whole prompt. Between two changes of the batch, steps are taken at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hansa_sim.engines.token_model import PS_NS, TokenModel

FAR_PS = 1 << 61
"""No time is further away."""


@dataclass(slots=True, eq=False)
class Answer:
    """A request at a replica; ``start_ns``, ``first_ns``, ``last_ns`` are -1 until it came in, and its first and last
    token came out."""

    reach_ns: int
    prompt: int
    generated: int
    start_ns: int = -1
    first_ns: int = -1
    last_ns: int = -1
    done: int = 0
    """Tokens whose keys and values are there."""
    made: int = 0
    held: int = 0
    cached: int = 0
    chunk: int = 0

    @property
    def needed(self) -> int:
        """Tokens to compute until the next one comes out."""
        return self.prompt + self.made - self.done


@dataclass(slots=True, eq=False)
class Replica:
    """One replica; ``now_ps`` is when its step ends, or its last one ended."""

    model: TokenModel
    now_ps: int = 0
    steps: int = 0
    """Steps that are being taken; 0 between steps."""
    unused: int = field(init=False)
    """Free blocks that hold nothing of use."""
    batch: list[Answer] = field(default_factory=list)
    set_back: deque[Answer] = field(default_factory=deque)
    waiting: deque[Answer] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.unused = self.model.blocks

    @property
    def present(self) -> int:
        return len(self.batch) + len(self.set_back) + len(self.waiting)

    @property
    def free(self) -> int:
        """Blocks that may be taken."""
        return self.unused + sum(one.cached for one in self.set_back)

    def join(self, one: Answer) -> None:
        """A request reaches the replica, which has been advanced until then."""
        if not self.present and not self.steps:
            self.now_ps = max(self.now_ps, one.reach_ns * PS_NS)
        self.waiting.append(one)

    def advance(self, until_ps: int) -> None:
        """Ends every step that ends until then, and begins every one that begins before."""
        while True:
            if self.steps:
                if self.now_ps > until_ps:
                    return
                self._end()
            elif self.now_ps >= until_ps or not self.present:
                return
            else:
                self._begin(until_ps)

    def _begin(self, until_ps: int) -> None:
        left, kept = self._go_on()
        if kept:
            left = self._come_in(left)
        model, tokens, samples, context, pairs, only_answers = self.model, 0, 0, 0, 0, kept
        for one in self.batch:
            tokens += one.chunk
            samples += one.chunk == one.needed
            context += one.done if one.chunk else 0
            if one.needed > 1:
                pairs += one.chunk * (2 * one.done + one.chunk)
            only_answers = only_answers and one.chunk == 1 and one.needed == 1 and one.made > 0
        length = model.step_ps + model.token_ps * tokens + model.sample_ps * samples + model.context_ps * context
        length += model.attention_ps * pairs // 2
        self.steps = self._equal_steps(length, until_ps) if only_answers else 1
        self.now_ps += _sum(length, model.context_ps * len(self.batch), self.steps)

    def _go_on(self) -> tuple[int, bool]:
        """Requests of the batch get their tokens and blocks; says how many tokens are left, and whether nobody was set
        back."""
        left, at, kept = self.model.step_tokens, 0, True
        for one in self.batch:
            one.chunk = 0
        while at < len(self.batch) and left > 0:
            one = self.batch[at]
            chunk = min(one.needed, left)
            more = self._blocks(one.done + chunk) - one.held
            while more > self.free:
                kept = False
                if self._set_back() is one:
                    return left, kept
            self._take(more)
            one.held += more
            one.chunk = chunk
            left -= chunk
            at += 1
        return left, kept

    def _set_back(self) -> Answer:
        """The last of the batch goes to the front of the queue; what it computed stays until its blocks are taken."""
        last = self.batch.pop()
        last.cached = last.done // self.model.block_tokens
        self.unused += last.held - last.cached
        last.held = last.done = last.chunk = 0
        self.set_back.appendleft(last)
        return last

    def _come_in(self, left: int) -> int:
        """Waiting requests join the batch while they can; says how many tokens are left."""
        size = self.model.block_tokens
        while self.present > len(self.batch) < self.model.sequences and left > 0:
            queue = self.set_back or self.waiting
            one = queue[0]
            if self._blocks(one.needed) > self.free:
                break
            queue.popleft()
            kept = min(one.cached, (one.needed - 1) // size)
            self.unused += one.cached - kept
            one.cached, one.held = 0, kept
            one.done = kept * size
            one.chunk = min(one.needed, left)
            more = self._blocks(one.done + one.chunk) - one.held
            self._take(more)
            one.held += more
            left -= one.chunk
            if one.start_ns < 0:
                one.start_ns = _ns(self.now_ps)
            self.batch.append(one)
        return left

    def _take(self, blocks: int) -> None:
        """Blocks without use first, then those of the request that was set back longest ago, its last ones first."""
        taken = min(blocks, self.unused)
        self.unused -= taken
        for one in reversed(self.set_back):
            if taken == blocks:
                return
            part = min(blocks - taken, one.cached)
            one.cached -= part
            taken += part

    def _equal_steps(self, length: int, until_ps: int) -> int:
        """How many steps like this one follow: until an answer ends, blocks may run out, or somebody may come in."""
        count = len(self.batch)
        most = min(one.generated - one.made for one in self.batch)
        most = min(most, 1 + self.model.block_tokens * (self.free // count))
        growth, low = self.model.context_ps * count, 1
        while low < most:
            middle = (low + most + 1) // 2
            if self.now_ps + _sum(length, growth, middle - 1) < until_ps:
                low = middle
            else:
                most = middle - 1
        return low

    def _end(self) -> None:
        steps, self.steps, staying = self.steps, 0, []
        if steps > 1:
            self._grow(steps - 1)
        for one in self.batch:
            one.done += one.chunk
            if one.chunk and one.needed == 0:
                one.first_ns = _ns(self.now_ps) if one.made == 0 else one.first_ns
                one.made += 1
            if one.made == one.generated:
                one.last_ns = _ns(self.now_ps)
                self.unused += one.held
            else:
                staying.append(one)
        self.batch = staying

    def _grow(self, steps: int) -> None:
        """All but the last of equal steps: everybody has what it needs for the last one before anybody leaves."""
        for one in self.batch:
            one.done += steps
            one.made += steps
            more = self._blocks(one.done + 1) - one.held
            self._take(more)
            one.held += more

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self.model.block_tokens)


def _sum(first: int, growth: int, steps: int) -> int:
    """How long so many steps take, each longer than the one before."""
    return first * steps + growth * (steps * (steps - 1) // 2)


def _ns(time_ps: int) -> int:
    """The whole nanosecond that a time has reached, rounded up."""
    return -(-time_ps // PS_NS)


def serve_zone(model: TokenModel, replicas: int, requests: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """When requests (reaching, prompt, generated; in order of reaching) start and give their first and last token, ns.

    Each goes to the replica with the fewest requests, the lowest of equals.
    """
    servers = [Replica(model) for _ in range(replicas)]
    answers = []
    for reach_ns, prompt, generated in requests:
        for server in servers:
            server.advance(reach_ns * PS_NS)
        answers.append(Answer(reach_ns, prompt, generated))
        min(servers, key=lambda server: server.present).join(answers[-1])
    for server in servers:
        server.advance(FAR_PS)
    return [(one.start_ns, one.first_ns, one.last_ns) for one in answers]
