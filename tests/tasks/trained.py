"""Run folders of trained models, written by what writes them in a run, without the training."""

import json
from pathlib import Path

from conftest import tiny

from config.paths import Paths
from kdgat_models.checkpoint import Checkpoint, Provenance, save_checkpoint
from kdgat_models.decision import Decision
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.registry import build
from tasks.artifact import Artifact
from tasks.stages.table import STAGES

IDS = (16, 32, 48)
THRESHOLDS = {"f1": 0.5, "fpr_0.05": 0.5, "fpr_0.01": 0.5, "fpr_0.001": 0.5}


def finished(root, model, scale="large", auxiliary="none", ids=IDS, inputs=None, **settings):
    """A model with fresh weights, in the folder that a run with these settings leaves behind."""
    config = tiny(model, scale, auxiliary, **settings)
    family = STAGES[model].family(Paths(Path(root)), config)
    folder = Paths(Path(root)).run_folder(family, f"{model}{len(list(Path(root).rglob('artifact.json'))):010d}").path
    schema = feature_schema(config.preprocessing.feature_schema).describe()
    vocabulary = Vocabulary.seen_through(Vocabulary(tuple(ids)), config.identity)
    network = build(config, vocabulary.num_ids, schema)
    provenance = Provenance(inputs=inputs or {}, best_epoch=1)
    digest = save_checkpoint(
        folder, Checkpoint(config, schema, vocabulary, Decision(THRESHOLDS), network.state_dict(), provenance)
    )
    (folder / "config.json").write_text(config.model_dump_json())
    artifact = Artifact(kind=model, path=folder, digest=digest, summary={"parameters": 1})
    artifact.publish()
    return artifact


def changed(artifact, file, **values):
    """Write other values into a JSON file of a run folder."""
    path = artifact.path / file
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))
    artifact.publish()  # as if it had been made like this
