"""Files that say which arbitration ID a row of an older embedding stands for."""

import json

import pytest
import torch

from kdgat_models.errors import CheckpointError
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.importing.vocabulary import EmbeddingRows, read_vocabulary


def vocabulary(tmp_path, content):
    (tmp_path / "ids.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return read_vocabulary(tmp_path / "ids.json")


def test_a_list_of_ids_is_a_vocabulary(tmp_path):
    known = vocabulary(tmp_path, ["0x1A0", 5])
    assert known.vocabulary.ids == (5, 0x1A0)
    assert known.rows is None


def test_identifiers_are_numbers_or_texts_from_0_to_the_highest_of_29_bits(tmp_path):
    assert vocabulary(tmp_path, ["0X1a0", "417", 0, "0x1FFFFFFF"]).vocabulary.ids == (0, 416, 417, 2**29 - 1)
    with pytest.raises(CheckpointError) as caught:
        vocabulary(tmp_path, [5, "1A0"])
    assert str(caught.value) == f"{tmp_path / 'ids.json'}: '1A0' is no arbitration ID; write 416 or \"0x1A0\""


@pytest.mark.parametrize("name", ["OOV", "oov", "UNK", "unk", "unknown", "Unknown"])
def test_the_row_of_all_other_ids_has_these_names(tmp_path, name):
    known = vocabulary(tmp_path, {"7": 2, name: 1, "5": 0})
    assert (known.vocabulary.ids, known.rows) == ((5, 7), (1, 0, 2))


def test_what_is_wrong_with_a_vocabulary_is_said_with_its_file(tmp_path):
    for content, message in (
        ([5, 5], "a vocabulary is a list of one or more IDs, each of which stands there once"),
        ({"5": 0, "6": 0}, "2 IDs need the rows 0 to 2, each once, one of them (OOV) for all other IDs"),
    ):
        with pytest.raises(CheckpointError) as caught:
            vocabulary(tmp_path, content)
        assert str(caught.value) == f"{tmp_path / 'ids.json'}: {message}"
    with pytest.raises(CheckpointError, match=r"ids.json holds a int; expected a list of IDs, or an object of ID: row$"):
        vocabulary(tmp_path, 3)


def test_rows_that_are_the_same_as_the_indices_leave_a_state_as_it_is_and_others_move_what_is_by_id():
    by_id = ("embedding.weight", "id_head.weight", "id_head.bias", "neighborhood_head.4.weight", "neighborhood_head.4.bias")
    others = ("neighborhood_head.2.weight", "encoder_1.bias")
    state = {name: torch.arange(3) for name in (*by_id, *others)}
    assert EmbeddingRows(Vocabulary.of([5, 6])).reordered(state) == state
    moved = EmbeddingRows(Vocabulary.of([5, 6]), (2, 0, 1)).reordered(state)
    assert {name: tensor.tolist() for name, tensor in moved.items()} == {
        name: [2, 0, 1] if name in by_id else [0, 1, 2] for name in state
    }


@pytest.mark.parametrize("content", [{"0x1A0": 0, "5": 2, "OOV": 1}, {"416": 0, "5": 2}])
def test_a_mapping_says_which_row_is_whose(tmp_path, content):
    known = vocabulary(tmp_path, content)
    assert known.vocabulary.ids == (5, 0x1A0)
    assert known.rows == (1, 2, 0)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        3,
        "x",
        [],
        [5, 5],
        ["0x10", 16],
        [5.0],
        [None],
        {"0x10": 0, "16": 1},
        {"0x10": 0, "16": 1, "OOV": 2},
        {"5": 0, "6": 1, "OOV": 1},
        {"5": 0, "OOV": 1, "UNK": 2},
        {"5": 0, "OOV": 2},
        {"5": True, "OOV": 0},
        {},
        ["0x"],
        ["1A0"],
        ["five"],
        [-1],
        [1 << 29],
        [True],
        {"5": 0, "6": 0},
        {"5": 3, "6": 4},
        {"5": "a"},
        {"OOV": 0},
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, content):
    with pytest.raises(CheckpointError, match=r"ids\.json"):
        vocabulary(tmp_path, content)
