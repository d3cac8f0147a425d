"""The product of matrices of a few dozen rows, as fast as a BLAS and without its threads, or its choice of an order of sums.

A tile of the result is kept in registers while the sums go over the columns of the left matrix (Goto & van de Geijn 2008).
Numba has no vectors, so the tile is written in the terms of its compiler, LLVM, which knows how many numbers a register holds.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from kdgat_models.inference.lanes import repeated

Floats = NDArray[np.float32]

LANES, VECTORS = 16, 3  # numbers in a vector, vectors in the row of a tile
PANEL = LANES * VECTORS  # columns of a tile
ROWS = 5  # of a tile: fifteen vectors are kept, three read and one repeated, of the 32 registers that AVX-512 has


def padded(columns: int) -> int:
    """The next multiple of PANEL."""
    return -(-columns // PANEL) * PANEL


def as_panels(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """[k, m] -> [panels, k, PANEL], columns of zeros at the end: what `product` takes for its right matrix."""
    rows, columns = matrix.shape
    whole = np.zeros((rows, padded(columns)))
    whole[:, :columns] = matrix
    return np.ascontiguousarray(whole.reshape(rows, -1, PANEL).transpose(1, 0, 2))


def _tile(rows: int) -> Any:
    """A function that adds the product of `rows` rows and one panel to a tile of the result."""

    @intrinsic
    def tile(_: Any, a: Any, b: Any, out: Any, row: Any, panel: Any) -> Any:
        """out[row : row + rows, panel * PANEL : (panel + 1) * PANEL] += a[row : row + rows] @ b[panel]."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = zip(signature.args[:3], arguments[:3], strict=True)
            arrays = [context.make_array(kind)(context, builder, value) for kind, value in kinds]
            _write_tile(builder, arrays, arguments[3:], rows)
            return context.get_dummy_value()

        return types.void(a, b, out, row, panel), generate

    return tile


def _write_tile(builder: Any, arrays: Any, place: Any, rows: int) -> None:
    """Write the instructions of a tile."""
    left, right, out = arrays
    row, panel = place
    inner, width = (cgutils.unpack_tuple(builder, array.shape)[1] for array in (left, out))
    vector = ir.VectorType(ir.FloatType(), LANES)

    def index(row: Any, columns: Any, column: Any) -> Any:
        return builder.add(builder.mul(row, columns), column)

    def whole(number: int) -> Any:
        return ir.Constant(ir.IntType(64), number)

    def pointer(array: Any, at: Any) -> Any:
        return builder.bitcast(builder.gep(array.data, [at]), vector.as_pointer())

    def load(at: Any) -> Any:
        return builder.load(at, align=4)

    first = builder.mul(panel, whole(PANEL))
    targets = [
        [pointer(out, index(builder.add(row, whole(r)), width, builder.add(first, whole(v * LANES)))) for v in range(VECTORS)]
        for r in range(rows)
    ]
    sums = [[cgutils.alloca_once_value(builder, load(target)) for target in of_row] for of_row in targets]
    with cgutils.for_range(builder, inner) as loop:
        begin = builder.mul(index(panel, inner, loop.index), whole(PANEL))
        columns = [load(pointer(right, builder.add(begin, whole(v * LANES)))) for v in range(VECTORS)]
        for r, of_row in enumerate(sums):
            number = builder.load(builder.gep(left.data, [index(builder.add(row, whole(r)), inner, loop.index)]))
            everywhere = repeated(builder, number, vector)
            for total, column in zip(of_row, columns, strict=True):
                term = builder.fmul(everywhere, column, flags=["contract"])
                builder.store(builder.fadd(builder.load(total), term, flags=["contract"]), total)
    for totals, of_row in zip(sums, targets, strict=True):
        for total, target in zip(totals, of_row, strict=True):
            builder.store(builder.load(total), target, align=4)


_five, _two, _one = _tile(ROWS), _tile(2), _tile(1)


@numba.njit(cache=True, nogil=True)
def product(a: Floats, panels: Floats, out: Floats) -> None:
    """out += a @ b, for a [n, k], out [n, m] with m a multiple of PANEL, and b as `as_panels` gives it, flat."""
    n = len(a)
    for panel in range(out.shape[1] // PANEL):
        row = 0
        while row + ROWS <= n:
            _five(a, panels, out, row, panel)
            row += ROWS
        while row + 2 <= n:
            _two(a, panels, out, row, panel)
            row += 2
        if row < n:
            _one(a, panels, out, row, panel)
