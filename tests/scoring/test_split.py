"""Trained models are opened and score whole splits, alone and fused; every figure is compared with its definition."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from conftest import tiny

from kdgat_models.checkpoint import Checkpoint, save_checkpoint
from kdgat_models.decision import Decision, DetectorScores
from kdgat_models.detector import Detector
from kdgat_models.errors import CheckpointError, SchemaError
from kdgat_models.evaluation.calibration import calibrated, calibration_windows, probability
from kdgat_models.evaluation.score_table import write_scores
from kdgat_models.evaluation.thresholds import choose_thresholds
from kdgat_models.extraction.extract import extract
from kdgat_models.extraction.gat import suspects
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import fused_scores
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.registry import build
from kdgat_models.scoring.fused import FusedDetector
from kdgat_models.scoring.models import LoadedModel, open_model, open_trained_on

RULE = "fpr_0.01"
THRESHOLDS = {"vgae": {"f1": 3.0, RULE: 4.0}, "gat": {"f1": 0.5, RULE: 0.7, "temperature": 2.0}}
SCALES = {"vgae_threshold": 3.0, "vgae_scale": 2.0, "gat_threshold": 0.5, "gat_scale": 1.5}


def loaded(model, dataset, thresholds, **settings):
    torch.manual_seed(0)
    config = tiny(model, **settings)
    network = build(config, dataset.vocabulary.num_ids, dataset.schema).eval()
    checkpoint = Checkpoint(config, dataset.schema, dataset.vocabulary, Decision.read(thresholds), network.state_dict())
    return LoadedModel(checkpoint, network)


@pytest.fixture(scope="module")
def models(dataset):
    return {name: loaded(name, dataset, thresholds) for name, thresholds in THRESHOLDS.items()}


@pytest.fixture(scope="module")
def fusion(dataset):
    return loaded("fusion", dataset, {"f1": 0.4, RULE: 0.6, **SCALES}, **{"fusion.method": "weighted_avg"})


@pytest.fixture(scope="module")
def store(dataset):
    return next(iter(dataset.test_stores().values()))


def test_base_models_alone_have_their_own_scores_thresholds_and_temperature(dataset, models, store):
    found = Detector(models, None, RULE).split_scores(store)
    assert [(detector.model, detector.threshold, detector.temperature) for detector in found] == [
        ("vgae", 4.0, None),
        ("gat", 0.7, 2.0),
    ]
    data = type(dataset.train_data())(store, dataset.vocabulary)
    for detector in found:
        expected = extract(models[detector.model].network, EXTRACTORS[detector.model], data, np.arange(len(store))).scores
        np.testing.assert_array_equal(detector.scores, expected)


def test_a_fusion_comes_last_and_scores_what_its_base_models_gave_at_the_scales_of_its_training(dataset, models, fusion, store):
    *alone, fused = Detector(models, fusion, "f1").split_scores(store)
    assert [detector.model for detector in alone] == ["vgae", "gat"]
    assert (fused.model, fused.threshold, fused.temperature) == ("fusion", 0.4, None)
    base = BaseModels({name: model.network for name, model in models.items()}, Decision.read(SCALES).scales)
    inputs, extracted = base.run(type(dataset.train_data())(store, dataset.vocabulary), np.arange(len(store)))
    np.testing.assert_array_equal(fused.scores, fused_scores(fusion.network, inputs))
    np.testing.assert_array_equal(alone[1].scores, extracted["gat"].scores)


def test_models_of_different_vocabularies_are_not_combined(models, fusion):
    other = models["gat"].checkpoint._replace(vocabulary=Vocabulary((1, 2)))
    with pytest.raises(SchemaError, match="different vocabularies"):
        Detector({**models, "gat": models["gat"]._replace(checkpoint=other)}, None, RULE)
    with pytest.raises(SchemaError, match="different vocabularies"):
        Detector(models, fusion._replace(checkpoint=fusion.checkpoint._replace(vocabulary=Vocabulary((1, 2)))), RULE)


def test_what_is_given_as_a_fusion_has_to_be_one(models):
    with pytest.raises(CheckpointError, match="a gat was given as the fusion"):
        FusedDetector.of(models["gat"], models)


def test_suspects_are_told_by_a_node_head_and_by_nothing_else(dataset, models, store):
    headed = loaded("gat", dataset, {"f1": 0.0}, **{"gat.node_head": True})
    bare = loaded("gat", dataset, {"f1": 0.0}, **{"gat.node_head": False})
    data = type(dataset.train_data())(store, dataset.vocabulary)
    np.testing.assert_array_equal(Detector({"gat": headed}, None, "f1").suspects(store), suspects(headed.network, data))
    assert Detector({"gat": bare}, None, "f1").suspects(store) is None
    assert Detector({"vgae": models["vgae"]}, None, "f1").suspects(store) is None


def test_a_model_is_opened_for_other_vocabularies_and_refused_where_it_has_to_be_trained_on_these_graphs(
    dataset, models, tmp_path
):
    save_checkpoint(tmp_path, models["gat"].checkpoint)
    elsewhere = dataset.through(Vocabulary((1, 2)))
    opened = open_model(tmp_path, elsewhere, "gat")
    assert opened.checkpoint.vocabulary == dataset.vocabulary
    assert all(torch.equal(a, b) for a, b in zip(opened.network.parameters(), models["gat"].network.parameters(), strict=True))
    assert open_trained_on(tmp_path, dataset, "gat").checkpoint.decision.flat() == THRESHOLDS["gat"]
    with pytest.raises(SchemaError, match="not the same ones"):
        open_trained_on(tmp_path, elsewhere, "gat")
    with pytest.raises(CheckpointError, match="a gat, not a vgae"):
        open_model(tmp_path, dataset, "vgae")


def test_a_model_is_not_opened_for_graphs_of_other_features(dataset, published_dataset, models, tmp_path):
    save_checkpoint(tmp_path, models["gat"].checkpoint)
    for opening in (open_model, open_trained_on):
        with pytest.raises(SchemaError, match="feature schema"):
            opening(tmp_path, published_dataset, "gat")


@pytest.mark.parametrize("name", ["vgae", "gat"])
def test_thresholds_follow_from_recorded_calibration_windows_and_only_log_odds_have_a_temperature(dataset, models, name):
    found = calibrated(models[name].network, EXTRACTORS[name], dataset)
    windows = calibration_windows(dataset.train)
    scores = extract(models[name].network, EXTRACTORS[name], dataset.train_data(), windows).scores
    assert found.thresholds == choose_thresholds(scores, dataset.train.label[windows], 0.0 if name == "gat" else None)
    assert (found.temperature is not None) == (name == "gat")


def test_the_table_of_scores_has_a_row_per_window_and_probabilities_where_there_is_a_temperature(store, tmp_path):
    scores = np.linspace(-3, 3, len(store))
    accused = np.arange(len(store), dtype=np.uint32)
    write_scores(
        tmp_path / "a.parquet", store, [DetectorScores("vgae", scores, 0.0), DetectorScores("gat", -scores, 0.0, 2.0)], accused
    )
    table = pq.read_table(tmp_path / "a.parquet").to_pydict()
    assert list(table) == ["capture", "start_time", "label", "vgae", "gat", "gat_probability", "suspect"]
    assert table["capture"] == [store.captures[number].name for number in store.capture]
    assert table["gat"] == (-scores).tolist()
    assert table["gat_probability"] == probability(-scores, 2.0).tolist()
    assert table["suspect"] == accused.tolist()
    write_scores(tmp_path / "b.parquet", store, [DetectorScores("vgae", scores, 0.0)])
    assert pq.read_table(tmp_path / "b.parquet").column_names == ["capture", "start_time", "label", "vgae"]
