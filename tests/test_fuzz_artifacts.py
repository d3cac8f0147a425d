"""Altered artifacts, checkpoints, stores, manifests, training states and run stores: each loads or is a KdgatError.

Every case is seeded by its number, which a failure names.
"""

import json
import random
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from artifact_mutations import alter, altered_bytes, altered_json
from conftest import tiny
from torch import nn

from config.errors import KdgatError
from config.files import load_config
from config.paths import COMPLETE, METRICS
from kdgat_models.checkpoint import META, TENSORS, Checkpoint, Provenance, load_checkpoint, save_checkpoint
from kdgat_models.decision import Decision
from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.evaluation.nightly.champions import champions
from kdgat_models.evaluation.rows import EvaluationRow
from kdgat_models.explanation.snapshots import IMPORTANCE, ImportanceReport, read_snapshots
from kdgat_models.files import digest_files, read_record, write_json
from kdgat_models.graphs.dataset import VOCABULARY, GraphDataset
from kdgat_models.graphs.fold import FOLD
from kdgat_models.graphs.manifest import COLUMNS, CaptureEntry
from kdgat_models.graphs.schemas import feature_schema
from kdgat_models.graphs.store import GraphData, GraphStore, StoreWriter
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.npz import read_npz, write_npz
from kdgat_models.registry import build, restore
from kdgat_models.runs.memory import lessons
from kdgat_models.runs.store import RunStore, leaderboard
from kdgat_models.runs.tables import RECORDS, TABLES
from kdgat_models.training.loop import fit
from kdgat_models.training.memory import peak_memory_mb
from kdgat_models.training.objective import Objective
from kdgat_models.training.state import load_state
from tasks.artifact import Artifact, read_artifact
from tasks.seals import damages
from tasks.stages import reports

MORE_MB = 600  # that all cases of a kind may take together
WINDOWS = 12


def make_checkpoint(folder, model):
    config = tiny(model)
    schema = feature_schema("relative").describe()
    torch.manual_seed(0)
    network = build(config, 1, schema)
    thresholds = {"f1": 0.5, "fpr_0.01": 0.7, "temperature": 1.0, "vgae_threshold": 0.1, "vgae_scale": 0.2}
    save_checkpoint(
        folder,
        Checkpoint(config, schema, Vocabulary(()), Decision.read(thresholds), network.state_dict(), Provenance(inputs={})),
    )


def open_checkpoint(folder):
    checkpoint = load_checkpoint(folder)
    network = restore(checkpoint)
    assert all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values())
    assert np.isfinite(checkpoint.decision.threshold())


def make_store(folder):
    """Twelve windows of two captures, each of two nodes and three edges."""
    schema = feature_schema("relative")
    writer, draw = StoreWriter(folder, schema), np.random.default_rng(0)
    n, half = WINDOWS, WINDOWS // 2
    writer.attack_index("none")
    for name, first in (("drive", 0), ("drive#1", half)):
        writer.captures.append(CaptureEntry(name, "none", (first, first + half), (first * 4, (first + half) * 4), 0))
    per = {"graph": n, "node": 2 * n, "edge": 3 * n, "frame": 4 * n}
    columns = {name: np.zeros(per[column.per], column.dtype) for name, column in COLUMNS.items()}
    columns |= {"x": draw.random((2 * n, schema.continuous)), "edge_attr": draw.random((3 * n, len(schema.edge_features)))}
    columns |= {"node_offsets": np.arange(n) * 2, "edge_offsets": np.arange(n) * 3, "target": np.tile([0, 1, 1], n)}
    columns |= {"capture": np.repeat([0, 1], half), "role": np.tile([1, 2, 3], n // 3), "attack_type": np.full(n, -1)}
    writer.append(**columns)
    writer.finish()


def open_store(folder):
    store = GraphStore(folder)
    if len(store):
        batch = GraphData(store, Vocabulary(())).batch(np.arange(len(store)))
        assert bool(batch.x.isfinite().all())
        assert int(batch.edge_index.max()) < len(batch.x)


def make_dataset(folder):
    make_store(folder / "train")
    write_json(folder / VOCABULARY, [1, 2, 3])


def make_fold(folder):
    store = folder.with_name(f"{folder.name}_store")  # elsewhere: it is not altered with the fold
    make_store(store)
    about = {"protocol": "official", "version": 1, "store": str(store), "name": "demo"}
    write_json(
        folder / FOLD, {**about, "train": ["drive", "drive#1"], "test": ["other"], "left_out": {"more": "shares content"}}
    )


def open_dataset(folder):
    dataset = GraphDataset(folder)
    dataset.train_data().batch(np.arange(len(dataset.train)))


class Line(Objective[nn.Module]):
    """The smallest objective that can be trained."""

    def __init__(self):
        super().__init__()
        self.network = nn.Linear(3, 2)

    def batches(self, epoch, draws):
        yield torch.ones(4, 3)

    def loss(self, batch, draws):
        return {"total": self.network(batch).square().mean()}

    def validate(self):
        return {"value": float(self.network(torch.ones(1, 3)).square().mean())}


def make_state(folder):
    fit(Line(), tiny(**{"training.max_epochs": 2}).training, 0, folder / "state.safetensors")


def open_state(folder):
    objective = Line()
    state = load_state(folder / "state.safetensors", objective, torch.optim.AdamW(objective.parameters()))
    assert state.epoch in (0, 2)


def make_run_folder(folder):
    """All JSON that stages read back, and arrays, in one published artifact."""
    row = EvaluationRow("large", "gat", "s", "all", 0.5, window_metrics(np.repeat([0, 1], 5), np.arange(10.0), 5.0)).as_json()
    counted = [[["node", name], 0.5, 1.5] for name in "ab"]
    explained = {"method": "permutation", "windows": 3, "fold": None, "trained_at": "2026-01-01T00:00:00Z"}
    write_json(folder / IMPORTANCE, {**explained, "importances": counted})
    capture = {"split": "s", "capture": "c", "digest": "d", "duplicate_of": None, "frames": 3}
    fold = {"protocol": "official", "version": 1, "store": "/a/b", "name": "demo", "train": [], "test": [], "left_out": {}}
    pooled = {name: "x" for name in ("name", "dataset", "split", "role", "attack", "path", "vehicle", "group")}
    write_json(folder / METRICS, {"dataset": "demo", "variant": "large", "occasion": "training", "rows": [row, row]})
    write_json(folder / reports.HISTORY, [{"epoch": 1, "seconds": 0.5, "train": {"total": 1.0}, "validation": {"value": 1.0}}])
    write_json(folder / reports.INGEST, {"dataset": "demo", "captures": [capture, capture], "absent_splits": []})
    write_json(folder / reports.CAPTURES, [pooled])
    write_json(folder / reports.AUDIT, {"overlaps": [{"first": "a", "second": "b", "share": 0.5}], "groups": {"a": "b"}})
    write_json(folder / reports.TRIAL, {"fold": fold, "seed": 0, "parameters": {"teacher": 3}})
    write_json(folder / "score.json", {"fold": "demo", "seed": 0, "f1": 0.5, "roc_auc": None, "threshold": 0.1})
    write_json(folder / reports.DRIFT, {"split": {"psi": 0.5}})
    write_json(folder / "config.json", tiny().model_dump(mode="json"))
    write_npz(folder / "scores.npz", a=np.arange(5.0), b=np.zeros((2, 3), np.uint8))
    Artifact(kind="evaluation", path=folder, digest="d", summary={"windows": 3}).publish()


def each_refuses_or_loads(*readers):
    """Run all readers; the last KdgatError is raised in the end."""
    refused = None
    for read in readers:
        try:
            read()
        except KdgatError as error:
            refused = error
    if refused is not None:
        raise refused


def open_run_folder(folder):
    each_refuses_or_loads(
        lambda: damages(folder, full=True),
        lambda: read_artifact(folder, "evaluation"),
        lambda: reports.read_metrics(folder),
        lambda: reports.read_epochs(folder),
        lambda: reports.read_ingest(folder),
        lambda: reports.read_pool(folder),
        lambda: reports.read_audit(folder),
        lambda: reports.read_trial(folder),
        lambda: reports.read_drift(folder),
        lambda: read_record(folder / "score.json", reports.ScoreRecord),
        lambda: load_config(folder / "config.json"),
        lambda: read_record(folder / IMPORTANCE, ImportanceReport),
        lambda: read_npz(folder / "scores.npz")["a"],
    )


TEXTS = {
    "models": "{}",
    "graphs": "{}",
    "config": "{}",
    "rows": "[]",
    "name": "f1",
    "attack": "all",
    "outcome": "completed",
    "kind": "node",
    "method": "permutation",
}


def make_run_store(folder):
    store = RunStore(folder)
    for record in RECORDS:
        row = record(**{field.name: _value(field.name, str(field.type)) for field in TABLES[record.table]})
        for name in ("1", "2"):
            store.write(record, name, [row, row])


def _value(name, kind):
    from datetime import UTC, datetime

    if kind.startswith("timestamp"):
        return datetime(2026, 1, 1, tzinfo=UTC)
    return {"string": TEXTS.get(name, "demo"), "bool": False}.get(kind, 1)


def open_run_store(folder):
    store = RunStore(folder)
    for record in RECORDS:
        store.rows(record)
    champions(store)
    lessons(store)
    leaderboard(store)
    read_snapshots(store)
    store.query("select * from runs")
    assert len(store.warnings()) <= 1


CHECKPOINTS = {model: lambda folder, model=model: make_checkpoint(folder, model) for model in ("vgae", "gat", "fusion")}
# Kind: how it is made, how it is opened, and how many cases.
KINDS = {
    **{model: (make, open_checkpoint, 500) for model, make in CHECKPOINTS.items()},
    "store": (make_store, open_store, 1000),
    "dataset": (make_dataset, open_dataset, 300),
    "fold": (make_fold, open_dataset, 300),
    "state": (make_state, open_state, 400),
    "run folder": (make_run_folder, open_run_folder, 1200),
    "run store": (make_run_store, open_run_store, 150),
}


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """A folder of each kind, as it should be."""
    folders = {}
    for kind, (make, read, _) in KINDS.items():
        folders[kind] = tmp_path_factory.mktemp(kind.replace(" ", "_"))
        make(folders[kind])
        read(folders[kind])
    return folders


@pytest.fixture(scope="module")
def contents(pristine):
    """What lies in all of them, to be put in the wrong place."""
    files = [path for folder in pristine.values() for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path.read_bytes() for path in files]


def opened(read, folder) -> bool:
    """Whether what lies in `folder` loads; False if it is refused as it should be."""
    try:
        read(folder)
    except KdgatError:
        return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_altered_loads_or_is_refused(pristine, contents, tmp_path, kind):
    _, read, cases = KINDS[kind]
    before, refused, folder = peak_memory_mb(), 0, tmp_path / "case"
    for case in range(cases):
        rng = random.Random(f"{kind} {case}")
        shutil.copytree(pristine[kind], folder)
        done = alter(folder, contents, rng)
        try:
            refused += not opened(read, folder)
        except Exception as error:
            raise AssertionError(f"case {case} of {kind} ({done})") from error
        shutil.rmtree(folder)
    print(f"{kind}: {cases} cases, {refused} refused, {cases - refused} load")
    assert kind == "run store" or refused > cases / 4
    assert peak_memory_mb() - before < MORE_MB


@pytest.mark.parametrize("model", CHECKPOINTS)
def test_tensors_that_are_altered_with_their_digest_load_or_are_refused(pristine, tmp_path, model):
    """An altered header or altered values behind a digest that was set right: the checks of names, shapes and values decide."""
    source = (pristine[model] / TENSORS).read_bytes()
    (size,) = struct.unpack("<Q", source[:8])
    before, refused, cases, folder = peak_memory_mb(), 0, 250, tmp_path / "case"
    for case in range(cases):
        rng = random.Random(f"tensors {model} {case}")
        shutil.copytree(pristine[model], folder)
        if case % 2:
            header = altered_json(source[8 : 8 + size], rng)
            content = struct.pack("<Q", len(header)) + header + source[8 + size :]
        else:
            content = source[: 8 + size] + altered_bytes(source[8 + size :], rng)
        (folder / TENSORS).write_bytes(content)
        meta = json.loads((folder / META).read_text())
        (folder / META).write_text(json.dumps(meta | {"tensors_digest": digest_files([folder / TENSORS])}))
        try:
            refused += not opened(open_checkpoint, folder)
        except Exception as error:
            raise AssertionError(f"case {case} of {model}") from error
        shutil.rmtree(folder)
    print(f"tensors of {model}: {cases} cases, {refused} refused")
    assert refused > cases / 4
    assert peak_memory_mb() - before < MORE_MB


def test_a_run_folder_without_its_mark_is_refused(pristine, tmp_path):
    folder = Path(shutil.copytree(pristine["run folder"], tmp_path / "case"))
    (folder / COMPLETE).unlink()
    assert not opened(open_run_folder, folder)
