"""The graphs of a dataset on disk: one store for training captures, one per test split, and the vocabulary."""

from copy import copy
from pathlib import Path

import numpy as np
from pydantic import RootModel

from config.sections import IdentityConfig
from kdgat_models.errors import CheckpointError, DatasetError, SchemaError
from kdgat_models.files import read_record, write_json
from kdgat_models.graphs.fold import FOLD, read_fold
from kdgat_models.graphs.schema import SchemaRecord, require_same_schema
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.graphs.vocabulary import KnownIds, Vocabulary

TRAIN_STORE, TEST_STORES, VOCABULARY = "train", "test", "vocabulary.json"


class GraphDataset:
    """The folder of a graphs artifact, opened: of a dataset, or of a fold of a protocol."""

    def __init__(self, folder: Path, identity: IdentityConfig | None = None) -> None:
        """`identity`: how a model sees arbitration IDs; looked up in the vocabulary of normal training traffic if not given."""
        self.folder = folder
        if (folder / FOLD).is_file():
            fold = read_fold(folder)
            self.train = GraphStore(fold.store).restricted(fold.train)
            self.known = normal_training_vocabulary(self.train)
        elif (folder / VOCABULARY).is_file():
            self.train = GraphStore(folder / TRAIN_STORE)
            self.known = Vocabulary(read_record(folder / VOCABULARY, RootModel[KnownIds]).root)
        else:
            raise CheckpointError(f"no graphs in {folder}; build them again")
        self.vocabulary = Vocabulary.seen_through(self.known, identity) if identity else self.known

    @property
    def schema(self) -> SchemaRecord:
        """Of the features that its graphs have."""
        return self.train.schema

    def train_data(self) -> GraphData:
        """All windows of the training captures, of every role, as a model of the dataset's own vocabulary sees them."""
        return GraphData(self.train, self.vocabulary)

    def seen_through(self, vocabulary: Vocabulary) -> GraphData:
        """All windows as a model of this vocabulary sees them."""
        return GraphData(self.train, vocabulary)

    def through(self, vocabulary: Vocabulary) -> "GraphDataset":
        """The same graphs as a model of this vocabulary sees them."""
        view = copy(self)
        view.vocabulary = vocabulary
        return view

    def test_stores(self) -> dict[str, GraphStore]:
        """Test splits by name, in the order of their names."""
        return {path.name: GraphStore(path) for path in sorted((self.folder / TEST_STORES).glob("*")) if path.is_dir()}

    def require(self, schema: SchemaRecord, vocabulary: Vocabulary) -> None:
        """Raise a SchemaError unless a model of this schema and vocabulary reads these graphs."""
        require_same_schema(schema, self.schema)
        if vocabulary != self.vocabulary:
            raise SchemaError(
                f"the model knows {len(vocabulary.ids)} arbitration IDs, these graphs {len(self.vocabulary.ids)}, and not "
                "the same ones: its embedding would mean other IDs. Train it on these captures, or give it its own"
            )


def save_vocabulary(folder: Path, vocabulary: Vocabulary) -> None:
    """Write the vocabulary of a graphs folder; last, so that a folder that has one is whole."""
    write_json(folder / VOCABULARY, list(vocabulary.ids))


def normal_training_vocabulary(store: GraphStore) -> Vocabulary:
    """IDs in the normal windows that models train on.

    Raises:
        DatasetError: there is no such window.
    """
    windows = store.windows(TRAIN, label=0)
    if not len(windows):
        raise DatasetError(
            "no normal training window: the training captures are shorter than a window, or every window has an attack "
            "frame. Add attack-free captures to train_01_attack_free, or lower preprocessing.window_size"
        )
    is_normal = np.zeros(len(store), bool)
    is_normal[windows] = True
    nodes = np.repeat(is_normal, np.diff(store.node_offsets))
    return Vocabulary.of(np.unique(store.arbitration_id[nodes]))
