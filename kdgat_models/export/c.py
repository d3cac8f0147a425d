"""A classifier and the features that it reads as one C file: nothing but <math.h>, no heap, sizes fixed when it is made.

The feature code is written by hand beside what it mirrors (`templates/features.c`); a test compares both, and another one says
when the Python that it mirrors has changed. A capture begins with nothing known of the vehicle, and timestamps tell time.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdgat_models.checkpoint import Checkpoint
from kdgat_models.decision import F1
from kdgat_models.errors import UnsupportedError
from kdgat_models.files import atomic_path
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.inference.kernels import ATTENTION, MAX, MEAN, MEAN_MAX, TRANSFORMER
from kdgat_models.inference.packed import Folded, fold
from kdgat_models.networks.gat import GAT
from kdgat_models.registry import restore

TEMPLATES = Path(__file__).with_name("templates")
POOLS = {MEAN: "MEAN", MAX: "MAX", MEAN_MAX: "MEAN_MAX", ATTENTION: "ATTENTION"}
MOST_IDS = 256  # of a bus: those that come later each count as never seen before
BYTES_OF_FLOAT = 4


class CReport(NamedTuple):
    """What a C file will take."""

    weights: int  # bytes of constants
    most_ids: int
    window_size: int


def export_c(checkpoint: Checkpoint, target: Path, most_ids: int = MOST_IDS) -> CReport:
    """Write `target`, a C file, whose first lines say how it is used.

    Args:
        checkpoint: Of a classifier with transformer convolutions that reads schema `relative` in windows that do not overlap.
        target: File to write.
        most_ids: Arbitration IDs that the detector has room for, about 1.3 kB each.

    Raises:
        UnsupportedError: the checkpoint is of another kind; says of which.
    """
    network = _require_supported(checkpoint)
    folded, window_size = fold(network), checkpoint.config.preprocessing.window_size
    if folded.sizes.conv != TRANSFORMER:
        raise UnsupportedError("only networks with gat.conv=transformer are written as C; export to onnx")
    names = {"KDGAT_WINDOW": window_size, "KDGAT_MOST_IDS": most_ids, **_sizes(folded)}
    threshold = f"#define KDGAT_THRESHOLD {checkpoint.decision.threshold(F1)!r} /* of the score */"
    sizes = "\n".join([*(f"#define {name} {value}" for name, value in names.items()), threshold])
    names_of_files = ("interface.c", "features.c", "network.c", "detector.c")
    interface, features, network_code, end = ((TEMPLATES / name).read_text() for name in names_of_files)
    constants = _constants(folded, checkpoint.vocabulary)
    parts = [interface.replace("@SIZES@", sizes), features, *constants, network_code, end]
    with atomic_path(target) as temporary:
        temporary.write_text("\n".join(parts))
    return CReport(BYTES_OF_FLOAT * sum(array.size for array in _arrays(folded)), most_ids, window_size)


def _require_supported(checkpoint: Checkpoint) -> GAT:
    windows = checkpoint.config.preprocessing
    if checkpoint.schema != RELATIVE.describe():
        raise UnsupportedError(
            f"only models that read feature schema relative are written as C, not {checkpoint.schema['name']}"
        )
    if windows.stride != windows.window_size:
        found = f"the stride is {windows.stride}, the window {windows.window_size}"
        raise UnsupportedError(f"only windows that do not overlap are written as C: {found}")
    network = restore(checkpoint)
    if not isinstance(network, GAT):
        raise UnsupportedError(f"only the classifier gat is written as C, not a {type(network).__name__}")
    return network


def _sizes(folded: Folded) -> dict[str, int | str]:
    """The names in the templates."""
    sizes = folded.sizes
    width = sizes.heads * sizes.outputs
    pools = {f"KDGAT_POOL_{name}": value for value, name in POOLS.items()}
    return {
        "KDGAT_FEATURES": sizes.features,
        "KDGAT_EDGE_FEATURES": sizes.edge_features,
        "KDGAT_LAYERS": sizes.layers,
        "KDGAT_HEADS": sizes.heads,
        "KDGAT_WIDTH": width,
        "KDGAT_HIDDEN": sizes.hidden,
        "KDGAT_COLUMNS": sizes.projected + sizes.hidden,
        "KDGAT_POOLED": len(folded.classifier[0][0]),
        "KDGAT_LINEARS": sizes.fc_layers,
        "KDGAT_REPLACE_LOOPS": sizes.replace_loops,
        **pools,
        "KDGAT_POOLING": f"KDGAT_POOL_{POOLS[sizes.pooling]}",
        "KDGAT_GATES": max(len(folded.gate), 1),
    }


def _arrays(folded: Folded) -> list[NDArray[np.float64]]:
    layers = [array for layer in folded.layers for array in (layer.weight, layer.bias, layer.edge)]
    linears = [array for linear in folded.classifier for array in linear]
    return [folded.table, *layers, folded.head_last, folded.head_output, folded.gate, *linears]


def _constants(folded: Folded, vocabulary: Vocabulary) -> list[str]:
    """The weights, as arrays of C."""
    known = ", ".join(f"{identifier}u" for identifier in vocabulary.ids) or "0"
    layers, linears = folded.layers, folded.classifier
    by_layer = {
        "WEIGHTS": [layer.weight for layer in layers],
        "BIASES": [layer.bias for layer in layers],
        "EDGES": [layer.edge for layer in layers],
        "LINEARS": [weight for weight, _ in linears],
        "LINEAR_BIASES": [bias for _, bias in linears],
    }
    single = {"TABLE": folded.table, "HEAD_LAST": folded.head_last, "HEAD_OUTPUT": folded.head_output, "GATE": folded.gate}
    ids = [f"enum {{ KDGAT_KNOWN_IDS = {len(vocabulary.ids)}, KDGAT_BUCKETS = {vocabulary.buckets} }};"]
    ids += [f"static const uint32_t KNOWN_IDS[] = {{{known}}};"]
    arrays = [_array(name, array) for name, array in single.items()]
    for name, of in by_layer.items():
        arrays += [_array(f"{name}_{place}", array) for place, array in enumerate(of)]
        arrays.append(f"static const float *const {name}[] = {{{', '.join(f'{name}_{place}' for place in range(len(of)))}}};")
    return [*ids, *arrays]


def _array(name: str, values: NDArray[np.float64]) -> str:
    """In single precision, to the last bit: nine digits tell any two apart."""
    numbers = [f"{value:.9e}f" for value in values.astype(np.float32).ravel().tolist()] or ["0.0f"]
    lines = [", ".join(numbers[begin : begin + 8]) for begin in range(0, len(numbers), 8)]
    return f"static const float {name}[] = {{\n" + ",\n".join(lines) + "\n};"
