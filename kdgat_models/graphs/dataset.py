"""The graphs of a dataset on disk: one store for training captures, one per test split, and the vocabulary."""

import json
from pathlib import Path

from kdgat_models.errors import CheckpointError, SchemaError
from kdgat_models.files import write_json
from kdgat_models.graphs.schema import require_same_schema
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.graphs.vocabulary import Vocabulary

TRAIN_STORE, TEST_STORES, VOCABULARY = "train", "test", "vocabulary.json"


class GraphDataset:
    """The folder of a graphs artifact, opened."""

    def __init__(self, folder: Path) -> None:
        if not (folder / VOCABULARY).is_file():
            raise CheckpointError(f"no graphs in {folder}; build them again")
        self.folder = folder
        self.vocabulary = Vocabulary(tuple(json.loads((folder / VOCABULARY).read_text())))
        self.train = GraphStore(folder / TRAIN_STORE)

    @property
    def schema(self) -> dict:
        return self.train.schema

    def train_data(self) -> GraphData:
        return GraphData(self.train, self.vocabulary)

    def test_stores(self) -> dict[str, GraphStore]:
        """Test splits by name, in the order of their names."""
        return {path.name: GraphStore(path) for path in sorted((self.folder / TEST_STORES).glob("*")) if path.is_dir()}

    def require(self, schema: dict, vocabulary: Vocabulary) -> None:
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
