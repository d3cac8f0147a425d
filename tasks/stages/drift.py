"""Graphs of tonight and of the training -> how far apart they are."""

from pathlib import Path

from config.schema import OfModel
from kdgat_models.files import digest_json, write_json
from tasks.artifact import Artifact
from tasks.stages.events import say
from tasks.stages.reports import DRIFT


def measure(config: OfModel, folder: Path, trained_on: Artifact, graphs: Artifact) -> Artifact:
    """Compare each test split of `graphs` with the training windows of `trained_on`, in the eyes of its vocabulary."""
    from kdgat_models.evaluation.nightly.drift import TrainedOn, drift
    from kdgat_models.graphs.dataset import GraphDataset
    from kdgat_models.graphs.schema import require_same_schema

    trained, tonight = GraphDataset(trained_on.path), GraphDataset(graphs.path)
    require_same_schema(trained.schema, tonight.schema)
    known = TrainedOn.of(trained.train)
    figures = {}
    for split, store in tonight.test_stores().items():
        if not len(store):
            say(f"{split} has no whole window")
            continue
        figures[split] = drift(known, trained.vocabulary, store)
    write_json(folder / DRIFT, figures)
    highest = max((value for split in figures.values() for name, value in split.items() if name != "new_ids"), default=0.0)
    return Artifact(kind="drift", path=folder, digest=digest_json(figures), summary={"highest_psi": highest})
