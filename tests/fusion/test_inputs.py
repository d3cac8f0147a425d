"""From base models to the inputs of fusion and to suspects, and on which windows a fusion is trained, stopped and cut."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import tiny
from stage_runs import runs
from torch import nn
from whole_files import put_in_place, written_in_pieces

from config.paths import METRICS, Paths
from kdgat_models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from kdgat_models.decision import ScoreScale
from kdgat_models.evaluation.ablation.rows import SCORE
from kdgat_models.evaluation.calibration import calibrated
from kdgat_models.evaluation.protocols.protocol import Fold
from kdgat_models.evaluation.thresholds import choose_thresholds
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.inputs import BaseModels, following_rows, fusion_data
from kdgat_models.fusion.method import FusionInputs, fused_scores
from kdgat_models.fusion.weighted_avg import WeightedAverage
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import CALIBRATION, VALIDATION
from kdgat_models.networks.gat import GAT
from kdgat_models.registry import build, restore
from tasks.artifact import Artifact
from tasks.plans.protocol import fold_artifact
from tasks.stages import training
from tasks.stages.ablation_score import score as ablation_score
from tasks.stages.evaluation import evaluate as evaluation
from tasks.stages.table import train_fusion

fusion = runs(train_fusion)


@pytest.fixture(scope="module")
def networks(dataset):
    torch.manual_seed(0)
    return {model: build(tiny(model), dataset.vocabulary.num_ids, dataset.schema).eval() for model in ("vgae", "gat")}


def recorded_calibration(store):
    """Windows that thresholds are chosen on, from the definition: of calibration, and of no copy."""
    copies = np.array(["#" in capture.name for capture in store.captures])
    return np.flatnonzero((store.role == CALIBRATION) & ~copies[store.capture])


def test_each_view_is_of_its_own_model_and_one_half_at_its_threshold(dataset, networks):
    data, windows = dataset.train_data(), np.arange(0, 200, 3)
    scores = {name: extract(networks[name], EXTRACTORS[name], data, windows).scores for name in networks}
    thresholds = {name: float(np.sort(of)[10]) for name, of in scores.items()}
    base = BaseModels.of(dataset, networks, thresholds)
    inputs, extracted = base.run(data, windows)
    for view, name in ((inputs.anomaly, "vgae"), (inputs.classifier, "gat")):
        at = int(np.argsort(scores[name])[10])
        assert view[at].item() == pytest.approx(0.5, abs=1e-5)
        assert np.array_equal(np.argsort(view.numpy(), kind="stable"), np.argsort(scores[name].astype(np.float32)))
        np.testing.assert_allclose(extracted[name].scores, scores[name], rtol=1e-5)
    assert torch.equal(inputs.states[:, :8], torch.from_numpy(extracted["vgae"].features))
    assert torch.equal(inputs.states[:, 8:], torch.from_numpy(extracted["gat"].features))


def test_the_scale_of_a_view_is_the_spread_of_normal_validation_windows(dataset, networks):
    store = dataset.train
    normal = np.flatnonzero((store.role == VALIDATION) & (store.label == 0))
    base = BaseModels.of(dataset, networks, {"vgae": 1.0, "gat": -2.0})
    for name, threshold in (("vgae", 1.0), ("gat", -2.0)):
        scores = extract(networks[name], EXTRACTORS[name], dataset.train_data(), normal).scores
        assert base.scales[name].threshold == threshold
        assert base.scales[name].scale == pytest.approx(scores.std(), rel=1e-5)


def test_a_view_is_a_sigmoid_in_units_of_the_scale():
    scale = ScoreScale(2.0, 0.5)
    assert scale(np.array([1.0, 2.0, 3.0])).tolist() == pytest.approx([1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2)])
    assert ScoreScale.of(0.0, np.full(5, 3.0)).scale == 1e-6


def test_the_learnt_weight_is_that_of_the_classifier():
    average = WeightedAverage(tiny("fusion").dqn, 2)
    average.weight.data.fill_(np.log(3.0))  # alpha = 3/4
    inputs = FusionInputs(torch.zeros(2, 2), torch.tensor([0.0, 0.8]), torch.tensor([1.0, 0.4]))
    assert average(inputs).tolist() == pytest.approx([0.75, 0.5])


def test_labelled_inputs_carry_the_labels_and_followers_of_their_windows(dataset, networks):
    base = BaseModels.of(dataset, networks, {"vgae": 0.5, "gat": 0.0})
    windows = dataset.train.windows(VALIDATION)
    data = fusion_data(base, dataset, windows)
    assert data.label.tolist() == dataset.train.label[windows].tolist()
    assert data.following.tolist() == following_rows(dataset.train, windows).tolist()
    followed = np.flatnonzero(data.following.numpy() >= 0)
    expected = [row for row in range(len(windows) - 1) if windows[row + 1] == windows[row] + 1]
    same = [row for row in expected if dataset.train.capture[windows[row]] == dataset.train.capture[windows[row + 1]]]
    assert followed.tolist() == same
    assert data.following[followed].tolist() == [row + 1 for row in same]


def test_the_suspect_is_the_id_whose_node_has_the_highest_logit(dataset):
    """A network whose node head reads one feature off: which node of a window is the highest is known without it."""
    config = tiny("gat")
    torch.manual_seed(0)
    network = build(config, dataset.vocabulary.num_ids, dataset.schema)
    assert isinstance(network, GAT)
    feature = dataset.schema["node_features"].index("transition_mean") - 1
    head = nn.Linear(network.node_head[0].in_features, 1, bias=False)
    nn.init.zeros_(head.weight)
    head.weight.data[0, config.gat.embedding_dim + feature] = 1.0  # it sees the embedding, the features, then all layers
    network.node_head = head
    store = dataset.train
    found, values = suspects(network, dataset.train_data()), np.asarray(store.x[:, feature])
    assert len(found) == len(store) > 2 * 256  # several batches
    for window in range(len(store)):
        nodes = slice(*store.node_offsets[window : window + 2])
        highest = store.arbitration_id[nodes][values[nodes] == values[nodes].max()]
        assert found[window] in highest


@pytest.fixture(scope="module")
def base_models(dataset, networks, tmp_path_factory):
    """Artifacts of both base models, untrained, with thresholds."""
    artifacts = {}
    for name, network in networks.items():
        folder = tmp_path_factory.mktemp(name)
        decision = calibrated(network, EXTRACTORS[name], dataset)
        checkpoint = Checkpoint(tiny(name), dataset.schema, dataset.vocabulary, decision, network.state_dict())
        artifacts[name] = Artifact(kind=name, path=folder, digest=save_checkpoint(folder, checkpoint))
    return artifacts


@pytest.mark.parametrize("model", ["vgae", "gat"])
def test_thresholds_of_a_base_model_are_chosen_on_recorded_calibration_windows(dataset, networks, model):
    chosen = calibrated(networks[model], EXTRACTORS[model], dataset).flat()
    windows = recorded_calibration(dataset.train)
    scores = extract(networks[model], EXTRACTORS[model], dataset.train_data(), windows).scores
    labels = dataset.train.label[windows]
    expected = choose_thresholds(scores, labels, 0.0 if model == "gat" else None)
    assert {name: chosen[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    own = {"normal_upper"} | ({"temperature"} if model == "gat" else set())
    assert set(chosen) - set(expected) == own
    normal = np.sort(scores[labels == 0])
    for budget in (0.05, 0.01):
        rank = min(int(np.ceil((len(normal) + 1) * (1 - budget))), len(normal))
        assert chosen[f"fpr_{budget:g}"] == pytest.approx(normal[rank - 1], abs=1e-6)


def test_a_fusion_is_cut_by_recorded_calibration_windows_and_keeps_the_scales_of_its_views(
    dataset, demo_graphs, base_models, networks, tmp_path
):
    config = tiny("fusion", **{"fusion.max_epochs": 1, "fusion.steps_per_epoch": 3, "fusion.method": "mlp"})
    fusion(config, tmp_path, demo_graphs, base_models["vgae"], base_models["gat"])
    made = load_checkpoint(tmp_path, "fusion")
    base = BaseModels.of(
        dataset, networks, {name: load_checkpoint(of.path).decision.threshold() for name, of in base_models.items()}
    )
    for name, scale in base.scales.items():
        assert made.decision.scales[name] == pytest.approx(scale, rel=1e-5)
    cuts = {}
    for role, windows in (
        ("recorded calibration", recorded_calibration(dataset.train)),
        ("all calibration", dataset.train.windows(CALIBRATION)),
        ("validation", dataset.train.windows(VALIDATION)),
    ):
        scores = fused_scores(restore(made), base.run(dataset.train_data(), windows)[0])
        cuts[role] = choose_thresholds(scores, dataset.train.label[windows])
    mine = made.decision.thresholds
    assert mine == pytest.approx(cuts["recorded calibration"], rel=1e-5)
    assert mine != pytest.approx(cuts["all calibration"], rel=1e-5)
    assert mine != pytest.approx(cuts["validation"], rel=1e-5)


def test_the_views_of_a_fusion_are_one_half_at_the_thresholds_of_the_rule(demo_graphs, base_models, tmp_path):
    config = tiny("fusion", **{"fusion.max_epochs": 1, "fusion.steps_per_epoch": 1, "decision.rule": "fpr_0.05"})
    fusion(config, tmp_path, demo_graphs, base_models["vgae"], base_models["gat"])
    made = load_checkpoint(tmp_path, "fusion")
    for name, artifact in base_models.items():
        base = load_checkpoint(artifact.path).decision
        assert made.decision.scales[name].threshold == base.threshold("fpr_0.05") != base.threshold("f1")


def test_a_level_of_an_ablation_is_cut_by_the_rule(dataset, demo_graphs, base_models, networks, tmp_path):
    names = [capture.name for capture in dataset.train.captures if capture.recorded]
    fold = fold_artifact(
        "leave-one-attack-out", Fold("x", tuple(names[1:]), tuple(names[:1]), {}), demo_graphs, Paths(tmp_path)
    )
    store = GraphDataset(fold.path).train
    windows = recorded_calibration(store)
    scores = extract(networks["gat"], EXTRACTORS["gat"], dataset.train_data(), windows).scores
    expected = choose_thresholds(scores, store.label[windows], 0.0)
    for rule in ("f1", "fpr_0.05"):
        folder = tmp_path / rule
        folder.mkdir()
        made = ablation_score(tiny("gat", **{"decision.rule": rule}), folder, fold, base_models["gat"], None, None)
        assert json.loads((made.path / SCORE).read_text())["threshold"] == pytest.approx(expected[rule], rel=1e-5)
    assert expected["f1"] != pytest.approx(expected["fpr_0.05"], rel=1e-5)


def test_a_fused_level_of_an_ablation_is_cut_by_the_rule_on_the_fused_scores(
    dataset, demo_graphs, base_models, networks, tmp_path
):
    (tmp_path / "fusion").mkdir()
    config = tiny("fusion", **{"fusion.max_epochs": 1, "fusion.steps_per_epoch": 3, "fusion.method": "mlp"})
    made = fusion(config, tmp_path / "fusion", demo_graphs, base_models["vgae"], base_models["gat"])
    checkpoint = load_checkpoint(made.path)
    names = [capture.name for capture in dataset.train.captures if capture.recorded]
    fold = fold_artifact(
        "leave-one-attack-out", Fold("x", tuple(names[1:]), tuple(names[:1]), {}), demo_graphs, Paths(tmp_path)
    )
    store = GraphDataset(fold.path).train
    windows = recorded_calibration(store)
    inputs, _ = BaseModels(networks, checkpoint.decision.scales_of(networks)).run(dataset.train_data(), windows)
    expected = choose_thresholds(fused_scores(restore(checkpoint), inputs), store.label[windows])
    for rule in ("f1", "fpr_0.05"):
        (tmp_path / rule).mkdir()
        deciding = tiny("gat", **{"decision.rule": rule})
        ablation_score(deciding, tmp_path / rule, fold, base_models["gat"], base_models["vgae"], made)
        assert json.loads((tmp_path / rule / SCORE).read_text())["threshold"] == pytest.approx(expected[rule], rel=1e-5)
    assert expected["f1"] != pytest.approx(expected["fpr_0.05"], rel=1e-5)


def test_an_evaluation_writes_the_calibrated_probability_of_each_window(demo_graphs, base_models, tmp_path):
    evaluation(tiny("fusion"), tmp_path, "large", demo_graphs, base_models["vgae"], base_models["gat"], None)
    temperature = load_checkpoint(base_models["gat"].path).decision.temperature
    for file in (tmp_path / "scores").glob("*.parquet"):
        table = pq.read_table(file)
        expected = 1 / (1 + np.exp(-table["gat"].to_numpy() / temperature))
        np.testing.assert_allclose(table["gat_probability"].to_numpy(), expected, rtol=1e-9)
        assert "vgae_probability" not in table.column_names  # its scores are no log-odds
    assert temperature != 1


def test_a_fusion_learns_from_validation_windows_and_is_stopped_by_calibration_windows(
    dataset, demo_graphs, base_models, tmp_path, monkeypatch
):
    seen, fit_and_keep = [], training.fit_and_keep

    def watch(objective, config, seed, folder):  # what the stage hands to the training loop
        seen.append(objective)
        return fit_and_keep(objective, config, seed, folder)

    monkeypatch.setattr("tasks.stages.training.fit_and_keep", watch)
    config = tiny("fusion", **{"fusion.max_epochs": 1, "fusion.steps_per_epoch": 1})
    fusion(config, tmp_path, demo_graphs, base_models["vgae"], base_models["gat"])
    store = dataset.train
    for data, role in ((seen[0].train_data, VALIDATION), (seen[0].validation_data, CALIBRATION)):
        windows = np.flatnonzero(store.role == role)
        assert data.label.tolist() == store.label[windows].tolist()
        expected = extract(restore(load_checkpoint(base_models["gat"].path)), EXTRACTORS["gat"], dataset.train_data(), windows)
        np.testing.assert_allclose(data.inputs.states[:, 8:].numpy(), expected.features, rtol=1e-4, atol=1e-5)


def test_an_evaluation_decides_at_the_thresholds_of_the_rule_and_with_the_scales_of_the_training(
    demo_graphs, base_models, tmp_path
):
    """Thresholds come from the checkpoints, whatever the rule: nothing is chosen on what is evaluated."""
    config = tiny("fusion", **{"fusion.max_epochs": 1, "fusion.steps_per_epoch": 1})
    (tmp_path / "fusion").mkdir()
    with put_in_place() as put:
        made = fusion(config, tmp_path / "fusion", demo_graphs, base_models["vgae"], base_models["gat"])
    assert written_in_pieces(made.path, put) == []
    chosen = {
        name: load_checkpoint(artifact.path).decision.thresholds for name, artifact in {**base_models, "fusion": made}.items()
    }
    for rule in ("f1", "fpr_0.05"):
        deciding = tiny("fusion", **{"decision.rule": rule})
        with put_in_place() as put:
            evaluation(deciding, tmp_path / rule, "large", demo_graphs, base_models["vgae"], base_models["gat"], made)
        assert written_in_pieces(tmp_path / rule, put) == []
        rows = json.loads((tmp_path / rule / METRICS).read_text())["rows"]
        assert {row["model"] for row in rows} == set(chosen)
        assert all(row["threshold"] == chosen[row["model"]][rule] for row in rows)
        split = next(row["split"] for row in rows)
        table = pq.read_table(tmp_path / rule / "scores" / f"{split}.parquet")
        labels = table["label"].to_numpy()
        for row in (row for row in rows if (row["split"], row["attack"]) == (split, "all")):
            flagged = table[row["model"]].to_numpy() >= chosen[row["model"]][rule]
            assert row["true_positives"] == (flagged & (labels == 1)).sum()
            assert row["false_positives"] == (flagged & (labels == 0)).sum()
    assert all(values["f1"] != values["fpr_0.05"] for values in chosen.values())
    views = {}
    for name in ("vgae", "gat"):
        views[name] = load_checkpoint(made.path).decision.scales[name](table[name].to_numpy())
    low, high = (np.array([*views.values()]).min(0) - 1e-6, np.array([*views.values()]).max(0) + 1e-6)
    assert np.all((low <= table["fusion"].to_numpy()) & (table["fusion"].to_numpy() <= high))  # an average of the two
