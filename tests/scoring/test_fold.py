"""Scores on a fold: which windows each detector is scored on, and that they come back from disk as they were."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny

from kdgat_models.can.frames import read_frames
from kdgat_models.checkpoint import Checkpoint
from kdgat_models.decision import Decision
from kdgat_models.detector import Detector
from kdgat_models.errors import CheckpointError
from kdgat_models.evaluation.baselines import UNTRAINED, Boosting
from kdgat_models.evaluation.baselines import untrained_scores as by_hand
from kdgat_models.evaluation.protocols.survey import CaptureSource, read_untrained, survey
from kdgat_models.evaluation.protocols.trials import ScoredFold, TwoSides, load_scores, save_scores
from kdgat_models.extraction.extract import extract
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.fusion.inputs import BaseModels
from kdgat_models.fusion.method import fused_scores
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import CALIBRATION, TRAIN
from kdgat_models.npz import read_npz
from kdgat_models.registry import build
from kdgat_models.scoring.fold import FoldWindows, boosting_scores, model_scores, untrained_scores
from kdgat_models.scoring.models import LoadedModel

SCALES = {"vgae_threshold": 3.0, "vgae_scale": 2.0, "gat_threshold": 0.5, "gat_scale": 1.5}


@pytest.fixture(scope="module")
def windows(dataset, tmp_path_factory):
    """A fold over the training captures of the demo: tested on the last one, trained on all others."""
    folder = tmp_path_factory.mktemp("fold")
    names = [capture.name for capture in dataset.train.captures]
    test = [capture.name for capture in dataset.train.captures if capture.recorded][-1]
    train = [name for name in names if name.split("#")[0] != test]
    fold = {"protocol": "official", "version": 1, "store": str(dataset.train.folder), "name": "demo"}
    (folder / "fold.json").write_text(json.dumps({**fold, "train": train, "test": [test], "left_out": {}}))
    return FoldWindows.of(GraphDataset(folder, tiny().identity))


def opened(model, windows, **thresholds):
    torch.manual_seed(0)
    config = tiny(model, **({"fusion.method": "weighted_avg"} if model == "fusion" else {}))
    network = build(config, windows.dataset.vocabulary.num_ids, windows.dataset.schema).eval()
    about = (windows.dataset.schema, windows.dataset.vocabulary, Decision.read(thresholds))
    return LoadedModel(Checkpoint(config, *about, network.state_dict()), network)


def test_thresholds_have_calibration_windows_of_training_captures_and_figures_all_windows_of_the_test(windows):
    store, (tested,) = windows.store, windows.fold.test
    of_test = np.array([capture.name == tested for capture in store.captures])[store.capture]
    assert windows.test.tolist() == np.flatnonzero(of_test).tolist()
    assert not of_test[windows.calibration].any()
    assert set(store.role[windows.calibration]) == {CALIBRATION}
    assert windows.test_labels.tolist() == store.label[of_test].tolist()
    assert windows.calibration_labels.tolist() == store.label[windows.calibration].tolist()


def test_the_graphs_of_a_dataset_are_no_fold(dataset):
    with pytest.raises(CheckpointError, match=r"fold\.json"):
        FoldWindows.of(dataset)


def test_models_alone_and_fused_score_both_sides(windows):
    models = {name: opened(name, windows, f1=0.0) for name in ("vgae", "gat")}
    fusion = opened("fusion", windows, f1=0.5, **SCALES)
    base = BaseModels({name: model.network for name, model in models.items()}, Decision.read(SCALES).scales)
    data = windows.dataset.train_data()
    alone, both = Detector({"gat": models["gat"]}), Detector(models, fusion)
    gat, fused = (model_scores(windows, detector.vocabulary, detector.window_scores) for detector in (alone, both))
    for side, rows in (("calibration", windows.calibration), ("test", windows.test)):
        expected = extract(models["gat"].network, EXTRACTORS["gat"], data, rows).scores
        np.testing.assert_array_equal(getattr(gat, side), expected)
        np.testing.assert_array_equal(getattr(fused, side), fused_scores(fusion.network, base.run(data, rows)[0]))


def test_boosting_learns_from_the_training_windows_of_the_fold_alone(windows):
    store = windows.store
    of_train = np.isin([capture.name for capture in store.captures], windows.fold.train)[store.capture]
    boosting = Boosting.fit(store, np.flatnonzero(of_train & (store.role == TRAIN)), 3)
    found = boosting_scores(windows, 3)
    np.testing.assert_array_equal(found.test, boosting.scores(store, windows.test))
    np.testing.assert_array_equal(found.calibration, boosting.scores(store, windows.calibration))


@pytest.fixture(scope="module")
def sources(windows, demo_captures):
    paths = {path.stem: path for path in sorted(Path(demo_captures.path).rglob("*.parquet"))}
    recorded = [capture.name for capture in windows.store.captures if capture.recorded]
    return [CaptureSource(name, paths[name.split("/")[-1]], "the bench" if n == 1 else None) for n, name in enumerate(recorded)]


def test_a_survey_tells_vehicles_and_keeps_what_untrained_detectors_score_of_each_capture(windows, sources, tmp_path):
    found = survey(sources[::-1], tmp_path / "untrained", 100, 100)
    assert found.vehicles[sources[1].name] == "the bench"
    assert set(found.vehicles) == set(found.audit.groups) == {source.name for source in sources}
    for number, source in enumerate(sources[::-1]):
        frames, kept = read_frames(source.path), read_untrained(tmp_path / "untrained", number)
        starts = np.arange(0, frames.size - 99, 100)
        expected = by_hand(source.name, frames, starts, 100)
        assert {name: kept[name].tolist() for name in UNTRAINED} == {n: expected[n].tolist() for n in UNTRAINED}


def test_untrained_detectors_are_looked_up_by_capture_and_know_no_copies(windows, sources, tmp_path):
    config = tiny().preprocessing
    order = sources[::-1]
    survey(order, tmp_path, config.window_size, config.stride)
    scores = untrained_scores(windows, tmp_path, [source.name for source in order])
    store, (tested,) = windows.store, windows.fold.test
    (source,) = (source for source in sources if source.name == tested)
    frames = read_frames(source.path)
    expected = by_hand(tested, frames, store.first_frame[windows.test], config.window_size)
    for name in UNTRAINED:
        np.testing.assert_array_equal(scores[name].test, expected[name])
        assert np.isfinite(scores[name].calibration).all()  # these are recorded windows
    everything = windows._replace(calibration=np.arange(len(store)))
    recorded = np.array([capture.recorded for capture in store.captures])[store.capture]
    found = untrained_scores(everything, tmp_path, [source.name for source in order])
    assert all(np.array_equal(np.isnan(found[name].calibration), ~recorded) for name in UNTRAINED)


@pytest.mark.parametrize("published", [None, np.array([1, 0])])
def test_scores_of_a_fold_come_back_as_they_were(tmp_path, published):
    numbers = np.arange(3)
    scores = {"teacher": TwoSides(np.array([0.5, 1.5]), np.array([1.0, 2.0, 3.0]))}
    scored = ScoredFold(np.array([0, 1]), numbers, np.array([0, 1, 0]), np.array([4, 4, 5]), numbers * 100, scores, published)
    path = save_scores(tmp_path, scored)
    names = {"teacher.calibration", "teacher.test"}
    assert set(read_npz(path)) == names | ({"reference_calibration_labels"} if published is not None else set())
    again = load_scores(tmp_path)
    for before, after in zip(scored, again, strict=True):
        if not isinstance(before, dict):
            assert (before is None and after is None) or before.tolist() == after.tolist()
    assert {name: [side.tolist() for side in of] for name, of in again.scores.items()} == {
        "teacher": [[0.5, 1.5], [1.0, 2.0, 3.0]]
    }
