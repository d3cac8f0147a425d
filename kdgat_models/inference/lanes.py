"""Sums of a few dozen numbers, eight at a time.

Numba's compiler takes 32 numbers at a time and what is left one by one, which of the 24 outputs of a head are all. The loops
here are written in its own terms, LLVM's; what they read and write are places in flat arrays.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
NUMBER = ir.FloatType()
VECTOR = ir.VectorType(NUMBER, LANES)


def _dot(_: Any, x: Any, of_x: Any, y: Any, of_y: Any, n: Any) -> Any:
    """The dot product of x[of_x : of_x + n] and y[of_y : of_y + n], flat arrays of float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        left = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        right = _pointer(context, builder, signature.args[2], arguments[2], arguments[3])
        total = cgutils.alloca_once_value(builder, ir.Constant(VECTOR, [0.0] * LANES))
        with _vectors(builder, arguments[4]) as loop:
            terms = builder.fmul(_load(builder, left, loop), _load(builder, right, loop), flags=["contract"])
            builder.store(builder.fadd(builder.load(total), terms, flags=["contract"]), total)
        whole = cgutils.alloca_once_value(builder, _sum(builder, builder.load(total)))
        with _rest(builder, arguments[4]) as loop:
            a, b = (builder.load(builder.gep(at, [loop.index])) for at in (left, right))
            term = builder.fmul(a, b, flags=["contract"])
            builder.store(builder.fadd(builder.load(whole), term, flags=["contract"]), whole)
        return builder.load(whole)

    return types.float32(x, of_x, y, of_y, n), generate


def _add_scaled(_: Any, factor: Any, x: Any, of_x: Any, out: Any, of_out: Any, n: Any) -> Any:
    """out[of_out : of_out + n] += factor * x[of_x : of_x + n], flat arrays of float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        scale = arguments[0]
        read = _pointer(context, builder, signature.args[1], arguments[1], arguments[2])
        write = _pointer(context, builder, signature.args[3], arguments[3], arguments[4])
        scales = repeated(builder, scale, VECTOR)
        with _vectors(builder, arguments[5]) as loop:
            term = builder.fmul(scales, _load(builder, read, loop), flags=["contract"])
            target = builder.bitcast(builder.gep(write, [_start(builder, loop)]), VECTOR.as_pointer())
            builder.store(builder.fadd(builder.load(target, align=4), term, flags=["contract"]), target, align=4)
        with _rest(builder, arguments[5]) as loop:
            target = builder.gep(write, [loop.index])
            term = builder.fmul(scale, builder.load(builder.gep(read, [loop.index])), flags=["contract"])
            builder.store(builder.fadd(builder.load(target), term, flags=["contract"]), target)
        return context.get_dummy_value()

    return types.void(types.float32, x, of_x, out, of_out, n), generate


# Called with what follows `_`; type checkers take that for an argument.
dot: Any = intrinsic(_dot)
add_scaled: Any = intrinsic(_add_scaled)


def repeated(builder: Any, number: Any, vector: Any) -> Any:
    """A vector of LLVM with one number in all its lanes."""
    nothing, index = ir.Constant(vector, ir.Undefined), ir.IntType(32)
    one = builder.insert_element(nothing, number, ir.Constant(index, 0))
    return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(index, vector.count), [0] * vector.count))


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    return builder.gep(context.make_array(kind)(context, builder, array).data, [at])


def _vectors(builder: Any, n: Any) -> Any:
    """A loop over the whole vectors of n numbers."""
    return cgutils.for_range(builder, builder.sdiv(n, ir.Constant(n.type, LANES)))


def _rest(builder: Any, n: Any) -> Any:
    """A loop over the numbers after them."""
    whole = builder.mul(builder.sdiv(n, ir.Constant(n.type, LANES)), ir.Constant(n.type, LANES))
    return cgutils.for_range(builder, n, start=whole)


def _start(builder: Any, loop: Any) -> Any:
    return builder.mul(loop.index, ir.Constant(loop.index.type, LANES))


def _load(builder: Any, pointer: Any, loop: Any) -> Any:
    at = builder.bitcast(builder.gep(pointer, [_start(builder, loop)]), VECTOR.as_pointer())
    return builder.load(at, align=4)


def _sum(builder: Any, vector: Any) -> Any:
    """Of the lanes, halves first."""
    index, nothing = ir.IntType(32), ir.Constant(VECTOR, ir.Undefined)
    for half in (4, 2, 1):
        order = ir.Constant(ir.VectorType(index, LANES), [(lane + half) % LANES for lane in range(LANES)])
        vector = builder.fadd(vector, builder.shuffle_vector(vector, nothing, order))
    return builder.extract_element(vector, ir.Constant(index, 0))
