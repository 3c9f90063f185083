"""What a jaxpr will move and hold on a device once its elementwise operations are fused.

No compiler is asked, so the numbers are estimates, by a few rules of what compilers do:

- Matrix products, convolutions, sorts, loops and collectives find their operands in memory and
  leave their results there; so do reductions their results. Each is a kernel.
- Elementwise operations between two of those are one kernel. What only that kernel uses is not in
  memory; what a product, a later kernel or the caller uses is.
- Broadcasts, reshapes and transpositions cost nothing, and scatters and loops' carries are changed
  in place.
- Rows gathered and scattered count, not their tables.

`tests/planner/test_jaxpr_cost.py` and `tests/planner/test_plan.py` hold the numbers beside compiled
programs.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend import core

# The name of each collective in a jaxpr, and what it is called in compiled programs.
COLLECTIVES = {
    "psum": "all-reduce",
    "psum_invariant": "all-reduce",
    "all_gather": "all-gather",
    "all_gather_invariant": "all-gather",
    "reduce_scatter": "reduce-scatter",
    "all_to_all": "all-to-all",
    "ppermute": "collective-permute",
}
_LIBRARY = {"dot_general", "conv_general_dilated", "sort", *COLLECTIVES}
_REDUCTIONS = ("reduce_", "arg", "cum")  # how their names begin
_NAMES_FOR = {  # another name for what is there already
    *("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "copy", "copy_p"),
    *("stop_gradient", "optimization_barrier", "sharding_constraint", "pvary", "rev"),
}
_INLINE = {
    *("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2"),
    *("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"),
}
_BARRIERS = {"library", "loop", "change"}  # nothing is fused across them


class Exchange(NamedTuple):
    """Collectives of one kind: bytes of the whole arrays that they gather, scatter or reduce."""

    bytes: int
    calls: int


class Footprint(NamedTuple):
    """One run of a program on one device.

    Attributes:
        bytes: read and written by all kernels.
        kernels: how many there are, loops' bodies as often as they run.
        live: the most bytes in memory at once beside arguments and results.
        exchanges: by kind, as compiled programs call them.
    """

    bytes: int
    kernels: int
    live: int
    exchanges: dict[str, Exchange]


class _Op(NamedTuple):
    kind: str  # library, reduction, rows (gathered), change (scattered), loop, fused
    reads: list[int]  # values by number
    writes: list[int]
    moved: int = 0  # bytes, of the kinds whose reads and writes do not tell
    inner: Footprint = Footprint(0, 0, 0, {})  # of a loop: one run


def size_of(tree: Any) -> int:
    """Bytes of the arrays, or of what stands for them."""
    return sum(_size(leaf) for leaf in jax.tree.leaves(tree))


def _size(array: Any) -> int:
    return math.prod(array.shape) * array.dtype.itemsize


def add_exchanges(
    a: dict[str, Exchange], b: dict[str, Exchange], times: int = 1
) -> dict[str, Exchange]:
    """The exchanges of `a`, and those of `b` so many times."""
    found = dict(a)
    for kind, more in b.items():
        old = found.get(kind, Exchange(0, 0))
        found[kind] = Exchange(old.bytes + times * more.bytes, old.calls + times * more.calls)
    return found


def footprint(jaxpr: core.Jaxpr | core.ClosedJaxpr) -> Footprint:
    """See `Footprint`; of a `cond` the dearest branch counts, a `while` runs once."""
    inner: Any = jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr
    program = _Program()
    given = {program.new(var) for var in (*inner.constvars, *inner.invars)}
    program.add(inner)
    results = set(program.numbers(inner.outvars))
    return _count(program, given, results)


class _Program:
    """A jaxpr without its nests of calls; values are numbers, None if computed where used."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.ops: list[_Op] = []
        self.exchanges: dict[str, Exchange] = {}
        self._of: dict[Any, int | None] = {}

    def new(self, var: Any) -> int:
        """A value of its own."""
        self.sizes.append(_size(var.aval))
        self._of[var] = len(self.sizes) - 1
        return len(self.sizes) - 1

    def numbers(self, variables: Sequence[Any]) -> list[int]:
        return [value for value in self._all(variables) if value is not None]

    def _all(self, variables: Sequence[Any]) -> list[int | None]:
        return [None if isinstance(v, core.Literal) else self._of[v] for v in variables]

    def add(self, jaxpr: Any) -> None:
        for equation in jaxpr.eqns:
            self._add(equation)

    def _add(self, equation: Any) -> None:
        name, params, outputs = equation.primitive.name, equation.params, equation.outvars
        reads = self.numbers(equation.invars)
        bodies = list(_inside(params))
        if name in _INLINE:
            self._inline(bodies[0], equation)
        elif bodies:
            self._loop(bodies, equation)
        elif name in _NAMES_FOR:
            self._of |= dict(zip(outputs, self._all(equation.invars), strict=False))
        elif name.startswith("scatter") or name == "dynamic_update_slice":
            fresh = equation.invars[1 if name == "dynamic_update_slice" else 2]
            result = self._in_place(equation.invars[0], outputs[0])
            self.ops.append(_Op("change", reads, [result], 2 * _size(fresh.aval)))
        elif name in ("gather", "dynamic_slice"):
            moved = _size(outputs[0].aval)
            self.ops.append(_Op("rows", reads, [self.new(outputs[0])], moved))
        elif name in _LIBRARY:
            if kind := COLLECTIVES.get(name):
                whole = max(sum(_size(v.aval) for v in side) for side in (equation.invars, outputs))
                self.exchanges = add_exchanges(self.exchanges, {kind: Exchange(whole, 1)})
            self.ops.append(_Op("library", reads, [self.new(v) for v in outputs]))
        elif name.startswith(_REDUCTIONS):
            self.ops.append(_Op("reduction", reads, [self.new(v) for v in outputs]))
        elif reads:
            self.ops.append(_Op("fused", reads, [self.new(v) for v in outputs]))
        else:  # made of constants alone
            self._of |= dict.fromkeys(outputs)

    def _inline(self, body: Any, equation: Any) -> None:
        inner = getattr(body, "jaxpr", body)
        self._of |= dict.fromkeys(inner.constvars)
        self._of |= dict(zip(inner.invars, self._all(equation.invars), strict=True))
        self.add(inner)
        self._of |= dict(zip(equation.outvars, self._all(inner.outvars), strict=True))

    def _loop(self, bodies: list[Any], equation: Any) -> None:
        """A loop, a branch, or the part of one device of several."""
        params, outputs = equation.params, equation.outvars
        times = params["length"] if equation.primitive.name == "scan" else 1
        inner = max(map(footprint, bodies), key=lambda found: found.bytes)
        carried = params.get("num_carry", 0)
        starts = equation.invars[params.get("num_consts", 0) :][:carried]
        writes = [self._in_place(*pair) for pair in zip(starts, outputs[:carried], strict=True)]
        writes += [self.new(var) for var in outputs[carried:]]
        self.exchanges = add_exchanges(self.exchanges, inner.exchanges, times)
        once = inner._replace(bytes=times * inner.bytes, kernels=times * inner.kernels)
        self.ops.append(_Op("loop", self.numbers(equation.invars), writes, inner=once))

    def _in_place(self, operand: Any, result: Any) -> int:
        """The result has the operand's memory, where it has any."""
        (value,) = self._all([operand])
        if value is None or self.sizes[value] != _size(result.aval):
            return self.new(result)
        self._of[result] = value
        return value


def _inside(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, (core.Jaxpr, core.ClosedJaxpr)):
                yield one


def _count(program: _Program, given: set[int], results: set[int]) -> Footprint:
    ops, sizes = program.ops, program.sizes
    segments = list(itertools.accumulate((op.kind in _BARRIERS for op in ops), initial=0))
    stored = _stored(ops, segments, given | results)
    last = {v: n for n, op in enumerate(ops) for v in (*op.reads, *op.writes)}
    moved = kernels = alive = most = 0
    read: set[tuple[int, int]] = set()  # by the kernels of a segment: once is enough
    fused: set[int] = set()  # segments that have a kernel of elementwise operations
    there: set[int] = set()
    for n, (op, at) in enumerate(zip(ops, segments, strict=False)):
        reads = stored.intersection(op.reads)
        writes = stored.intersection(op.writes)
        if op.kind in ("library", "reduction", "fused"):
            again = () if op.kind == "library" else {v for v in reads if (v, at) in read}
            read |= {(v, at) for v in reads}
            moved += sum(sizes[v] for v in (*reads.difference(again), *writes))
        moved += op.moved + op.inner.bytes
        if op.kind == "fused":
            kernels += bool(writes) and at not in fused
            fused |= {at} if writes else set()
        else:
            kernels += op.inner.kernels if op.kind == "loop" else op.kind != "rows"
        ends = {v for v in (*reads, *writes) if last[v] == n} - given - results
        if op.kind == "fused":  # its result may take the place of what it reads
            alive -= sum(sizes[v] for v in ends & there)
            there -= ends
        fresh = writes - given - results - there
        there |= fresh
        alive += sum(sizes[v] for v in fresh)
        most = max(most, alive + op.inner.live)
        alive -= sum(sizes[v] for v in ends & there)
        there -= ends
    return Footprint(moved, kernels, most, program.exchanges)


def _stored(ops: list[_Op], segments: list[int], known: set[int]) -> set[int]:
    """The values that are in memory, beside those that are known to be."""
    stored = known | {v for op in ops if op.kind != "fused" for v in op.writes}
    made: dict[int, int] = {}
    for op, at in zip(ops, segments, strict=False):
        whole = op.kind in ("library", "loop", "rows")
        stored |= {v for v in op.reads if whole or made.get(v, at) < at}
        made |= dict.fromkeys(op.writes, at)
    return stored


def count_flops(jaxpr: core.Jaxpr | core.ClosedJaxpr) -> float:
    """Flops of the matrix products and convolutions, loops and all; the rest is small beside them.

    A product counts 2. Zeros between the pixels of a transposed convolution are not counted; zeros
    around the image are. Of a `cond` the dearest branch counts; a `while` of unknown length, once.
    """
    inner: Any = jaxpr.jaxpr if isinstance(jaxpr, core.ClosedJaxpr) else jaxpr
    total = 0.0
    for equation in inner.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            ((left, _), _) = params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            summed = math.prod(shape[axis] for axis in left)
            total += 2.0 * math.prod(equation.outvars[0].aval.shape) * summed
        elif name == "conv_general_dilated":
            kernel, spec = equation.invars[1].aval.shape, params["dimension_numbers"].rhs_spec
            taps = math.prod(kernel[axis] for axis in spec[1:])
            taps /= math.prod(params["lhs_dilation"])
            total += 2.0 * math.prod(equation.outvars[0].aval.shape) * taps
        elif name == "cond":
            total += max(map(count_flops, params["branches"]))
        else:
            times = params["length"] if name == "scan" else 1
            total += times * sum(map(count_flops, _jaxprs(params)))
    return total


def _jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        if isinstance(value, (core.Jaxpr, core.ClosedJaxpr)):
            yield value
