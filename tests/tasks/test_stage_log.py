"""What training stages say, in their own log and to the flow."""

import contextlib
import io
import json
import re

import pytest
from conftest import tiny
from stage_runs import runs

from kdgat_models.checkpoint import load_checkpoint
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import CALIBRATION, TRAIN, VALIDATION
from tasks.artifact import Artifact
from tasks.events import Distillation, EpochEnded, Trained, WindowsCounted, read_event
from tasks.execution.child import StageCall, run_in_child
from tasks.stages.table import train_fusion, train_gat, train_vgae

fusion = runs(train_fusion)
gat = runs(train_gat)
vgae = runs(train_vgae)

SHORT = {"training.max_epochs": 2, "fusion.max_epochs": 2}


def said_by(stage, config, folder, **inputs):
    """The artifact of a stage, its events, and the lines of its log."""
    folder.mkdir()
    events, lines = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(events), contextlib.redirect_stderr(lines):
        artifact = stage(config, folder, **inputs)
    return artifact, [read_event(json.loads(line)) for line in events.getvalue().splitlines()], lines.getvalue().splitlines()


@pytest.fixture(scope="module")
def trio(demo_graphs, tmp_path_factory):
    """Autoencoder, classifier and fusion without a teacher, with what they said."""
    root = tmp_path_factory.mktemp("trio")
    autoencoder = said_by(vgae, tiny("vgae", **SHORT), root / "vgae", graphs=demo_graphs, teacher=None)
    classifier = said_by(gat, tiny("gat", **SHORT), root / "gat", graphs=demo_graphs, vgae=None, teacher=None)
    models = {"vgae": autoencoder[0], "gat": classifier[0]}
    return {
        "vgae": autoencoder,
        "gat": classifier,
        "fusion": said_by(fusion, tiny("fusion", **SHORT), root / "fusion", graphs=demo_graphs, **models),
    }


def of_kind(kind, events):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize("stage", ["vgae", "gat", "fusion"])
def test_a_model_without_a_teacher_says_that_distillation_is_off(trio, stage):
    _, events, lines = trio[stage]
    assert [event.words for event in of_kind(Distillation, events)] == ["Knowledge Distillation: DISABLED"]
    assert sum(line.endswith("Knowledge Distillation: DISABLED") for line in lines) == 1


@pytest.mark.parametrize("stage", ["vgae", "gat", "fusion"])
def test_the_windows_classes_nodes_and_edges_of_each_split_are_counted(trio, stage, demo_graphs):
    said = {event.split: event for event in of_kind(WindowsCounted, trio[stage][1])}
    store = GraphDataset(demo_graphs.path).train
    for split, role in (("train", TRAIN), ("validation", VALIDATION), ("calibration", CALIBRATION)):
        counted = {"windows": 0, "normal": 0, "attack": 0, "nodes": 0, "edges": 0}
        for window in range(len(store)):
            if store.role[window] == role:
                counted["windows"] += 1
                counted["attack" if store.label[window] else "normal"] += 1
                counted["nodes"] += store.node_offsets[window + 1] - store.node_offsets[window]
                counted["edges"] += store.edge_offsets[window + 1] - store.edge_offsets[window]
        assert said[split].model_dump(include=set(counted)) == counted
        assert sum(said[split].attacks.values()) == counted["attack"]
    assert list(said) == ["train", "validation", "calibration"]
    line = said["train"].words
    assert f"train: {said['train'].windows:,} windows ({said['train'].normal:,} normal, " in line
    assert line.endswith(f"{said['train'].nodes:,} nodes, {said['train'].edges:,} edges")


@pytest.mark.parametrize("stage", ["vgae", "gat", "fusion"])
def test_a_stage_closes_with_what_it_came_to_and_what_it_cost(trio, stage):
    artifact, events, lines = trio[stage]
    summary, epochs = events[-1], of_kind(EpochEnded, events)
    best = min(epochs, key=lambda epoch: epoch.validation["value"])
    assert isinstance(summary, Trained)
    assert (summary.best_epoch, summary.epochs) == (best.epoch, len(epochs))
    assert summary.metrics["validation"] == best.validation["value"]
    assert summary.metrics["train"] == best.train["total"]
    tensors = load_checkpoint(artifact.path).tensors
    assert summary.checkpoint == artifact.path / "model.safetensors"
    assert summary.parameters == artifact.summary["parameters"] <= sum(tensor.numel() for tensor in tensors.values())
    assert summary.train_seconds == pytest.approx(sum(epoch.seconds for epoch in epochs))
    assert summary.seconds >= summary.train_seconds
    assert summary.memory_mb > 50
    assert re.search(r"summary: best epoch \d of 2 .* peak memory \d+ MB of host, no GPU$", lines[-1])


def test_a_summary_names_the_memory_of_a_gpu_that_was_used(trio):
    summary = of_kind(Trained, trio["gat"][1])[0]
    assert summary.model_copy(update={"gpu_memory_mb": 812.4}).words.endswith("MB of host, 812 MB of GPU")


def test_every_event_stands_in_words_in_the_log(trio):
    for _, events, lines in trio.values():
        assert [line.partition(" ")[2].partition(" ")[2] for line in lines] == [event.words for event in events]


def test_the_log_of_a_run_folder_holds_all_that_its_stage_said(trio, demo_graphs, tmp_path):
    """In a process of its own, as it runs on a worker."""
    teacher: Artifact = trio["vgae"][0]
    config = tiny("vgae", "small", "kd_standard", **SHORT, **{"auxiliary.temperature": 3.0, "auxiliary.alpha": 0.4})
    artifacts = {"graphs": demo_graphs.model_dump(mode="json"), "teacher": teacher.model_dump(mode="json")}
    arguments = {"config": train_vgae.part_of(config), **artifacts}
    (tmp_path / "config.json").write_text(config.model_dump_json())
    events = []
    run_in_child(StageCall("tasks.stages.vgae:train", arguments, str(tmp_path), 4000.0, 1), events.append)
    log = (tmp_path / "stage.log").read_text()
    assert log.splitlines()[0].endswith("4000 MB, 1 threads")
    assert "tasks.stages.vgae:train starts on " in log.splitlines()[0]
    enabled = f"Knowledge Distillation: ENABLED (kd_standard, T 3, alpha 0.4, teacher large vgae in {teacher.path})"
    assert enabled in log
    assert of_kind(Distillation, events)[0].words == enabled
    for event in events:
        assert event.words in log
    assert {Distillation, WindowsCounted, EpochEnded, Trained} <= {type(event) for event in events}
