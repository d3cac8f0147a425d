"""Which arbitration ID each row of an older embedding stands for."""

import json
from pathlib import Path
from typing import NamedTuple

import torch

from kdgat_models.can.frames import MAX_EXTENDED_ID
from kdgat_models.errors import CheckpointError
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.importing.pickles import State

NAMES_OF_OTHER_IDS = ("oov", "unk", "unknown")  # what the row of all other IDs is called in a mapping
TENSORS_BY_ID = ("embedding.weight", "id_head.weight", "id_head.bias", "neighborhood_head.4.weight", "neighborhood_head.4.bias")


class EmbeddingRows(NamedTuple):
    """A vocabulary, and the older row of each of its embedding indices; None: they are the same."""

    vocabulary: Vocabulary
    rows: tuple[int, ...] | None = None

    def reordered(self, state: State) -> State:
        """`state`, in the names of this project, with its rows by ID in the order of the vocabulary."""
        if self.rows is None:
            return state
        order = torch.tensor(self.rows)
        return {name: tensor[order] if name in TENSORS_BY_ID else tensor for name, tensor in state.items()}


def read_vocabulary(file: Path) -> EmbeddingRows:
    """The IDs of an embedding: a list (row 0 is for all other IDs, the i-th lowest has row i), or a mapping of IDs to rows.

    A mapping calls the row of all other IDs OOV, UNK or unknown, or leaves out that one row. IDs are numbers, or texts: "0x1A0"
    is hexadecimal, "416" decimal.

    Raises:
        CheckpointError: the file is not JSON, or not of that form.
    """
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} is not JSON: {error}") from error
    if isinstance(content, list):
        ids = [_identifier(file, item) for item in content]
        if len(set(ids)) != len(ids) or not ids:
            raise CheckpointError(f"{file}: a vocabulary is a list of one or more IDs, each of which stands there once")
        return EmbeddingRows(Vocabulary.of(ids))
    if isinstance(content, dict):
        return _mapped(file, content)
    raise CheckpointError(f"{file} holds a {type(content).__name__}; expected a list of IDs, or an object of ID: row")


def _mapped(file: Path, content: dict[str, object]) -> EmbeddingRows:
    row_of = {_identifier(file, name): row for name, row in content.items() if name.lower() not in NAMES_OF_OTHER_IDS}
    others = [row for name, row in content.items() if name.lower() in NAMES_OF_OTHER_IDS]
    doubled = len(row_of) + len(others) < len(content)
    taken = [*row_of.values(), *others]
    rest = set(range(len(row_of) + 1)) - {row for row in taken if isinstance(row, int)}
    if not others and len(rest) == 1:
        others = list(rest)
    if (
        not row_of
        or doubled
        or len(others) != 1
        or sorted(map(str, [*row_of.values(), *others])) != sorted(str(row) for row in range(len(row_of) + 1))
    ):
        raise CheckpointError(
            f"{file}: {len(row_of)} IDs need the rows 0 to {len(row_of)}, each once, one of them (OOV) for all other IDs"
        )
    ids = sorted(row_of)
    rows = [*others, *(row_of[identifier] for identifier in ids)]
    return EmbeddingRows(Vocabulary.of(ids), tuple(int(str(row)) for row in rows))


def _identifier(file: Path, value: object) -> int:
    try:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError("no number")
        number = value if isinstance(value, int) else int(value, 16 if value.lower().startswith("0x") else 10)
        if not 0 <= number <= MAX_EXTENDED_ID:
            raise ValueError("no arbitration ID")
    except ValueError as error:
        raise CheckpointError(f'{file}: {value!r} is no arbitration ID; write 416 or "0x1A0"') from error
    return number
