"""Part 4: word2vec in blocks of several sizes, duplicates summed first or not; and launches."""

import time
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.gpu import planned
from benchmarks.gpu.record import Recorder, measure, rates
from jaxdl import embedding, plan, projectsteps, wordstream
from jaxdl.cards import Card
from jaxdl.models.word2vec import Tables
from jaxdl.programs import read_program
from jaxdl.sampling import unigram_table

OBJECTIVE = projectsteps.OBJECTIVE
BLOCKS = {32: 400, 1024: 32, 16384: 4}  # of each size, in a dispatch


class Case(NamedTuple):
    """Words in a block, and whether repeated rows are summed before they are added."""

    size: int
    sum_first: bool

    @property
    def name(self) -> str:
        """As the rows have it."""
        how = "duplicates summed first" if self.sum_first else "added one by one"
        return f"block {self.size:,}, {how}"


def cases(recorder: Recorder) -> list[Case]:
    """In falling value; a variant of the part gets less time, and less to do."""
    if recorder.quick:
        return [Case(32, True), Case(32, False)][: 1 if recorder.label else 2]
    summed = [Case(1024, True), Case(16384, True), Case(32, True)]
    if recorder.label:
        return summed
    return [summed[0], Case(1024, False), summed[1], Case(16384, False), summed[2], Case(32, False)]


@cache
def stream(words: int, size: int) -> tuple[wordstream.Stream, Any]:
    """Words drawn by Zipf's law, subsampled, and the table of the negatives."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(2, words + 2)
    ids = rng.choice(words, 1 << (20 if words > 10_000 else 15), p=shares / shares.sum())
    counts = np.maximum(np.bincount(ids, minlength=words), 1)
    sentences = np.arange(len(ids), dtype=np.int32) // 20
    keep = wordstream.keep_probability(counts, 1e-3).astype(np.float32)
    left = wordstream.subsample(
        jax.random.key(0),
        jnp.asarray(ids, jnp.int32),
        jnp.asarray(sentences),
        jnp.asarray(keep),
        window=OBJECTIVE.window,
        size=size,
    )
    return left, unigram_table(counts)


def one(recorder: Recorder, case: Case, card: Card | None) -> None:
    """Compile, time preparing and training, and count launches."""
    words = 2_000 if recorder.quick else projectsteps.WORDS
    blocks = 8 if recorder.quick else BLOCKS[case.size]
    step = projectsteps.word2vec(case.size, blocks, words=words)
    call = partial(embedding.train_blocks, objective=OBJECTIVE, sum_first=case.sum_first)
    step = step._replace(call=jax.jit(call, donate_argnums=0))
    row = planned.row(lambda: plan.word2vec(step, 1), card, "float32")

    text, table = stream(words, case.size)
    options: Any = {"objective": OBJECTIVE, "blocks": blocks, "size": case.size, "cap": 100.0}
    prepare = partial(wordstream.prepare, text, table, None, jax.random.key(1), **options)
    prepared = prepare(jnp.int32(0))
    key = jax.random.key(2)
    width = projectsteps.WIDTH
    start = jax.random.uniform(key, (words, width), minval=-0.5, maxval=0.5) / width
    carried = [Tables(start, jnp.zeros((words, width)))]
    rate = jnp.float32(0.025), jnp.float32(0.0)
    begin = time.perf_counter()
    compiled = step.call.lower(carried[0], prepared, None, *rate).compile()
    compile_s = time.perf_counter() - begin

    def train() -> Any:
        carried[0], sums = compiled(carried[0], prepared, None, *rate)
        return sums

    seconds = 0.2 if recorder.quick else 1.0
    timing = measure(train, seconds)
    if not np.isfinite(np.asarray(carried[0].inputs)).all():
        raise ArithmeticError("the vectors are not finite")
    launches = read_program(compiled.as_text()).launches
    about = {"size": case.size, "sum_first": case.sum_first, "compile_s": compile_s}
    about |= {"launches": launches, "seconds": timing.median}
    note = f"compiled in {compile_s:.1f} s; {timing.median / blocks * 1e6:,.0f} us a block"
    items, per_s = blocks * case.size, None if row is None else row.per_s
    recorder.rate(case.name, "words/s", items, timing, per_s, note=note, **about)
    kernels = None if row is None else row.kernels / blocks
    note = f"{timing.median / launches * 1e6:.2f} us each, all in all"
    each = launches / blocks
    recorder.row(f"{case.name}: launches a block", "launches", each, kernels, note=note, **about)
    if case.sum_first and not recorder.label:
        timing = measure(lambda: prepare(jnp.int32(0)), seconds)
        recorder.rate(f"block {case.size:,}, preparing the blocks", "words/s", items, timing)


def run(recorder: Recorder) -> None:
    """See the module."""
    device = planned.start(recorder.quick)
    card = planned.find_card(device.device_kind, rates(recorder.rows))
    recorder.run(cases(recorder), lambda c: c.name, lambda c: one(recorder, c, card))
