"""From a pool to the report of a protocol: which windows are scored, learnt from and decided on, without training a network."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny
from whole_files import put_in_place, written_in_pieces

from config.paths import Paths
from kdgat_models.can.frames import read_frames
from kdgat_models.checkpoint import Checkpoint, save_checkpoint
from kdgat_models.decision import Decision
from kdgat_models.evaluation.baselines import UNTRAINED, Boosting, untrained_scores
from kdgat_models.evaluation.protocols.registry import make_folds
from kdgat_models.evaluation.protocols.trials import SCORES, WINDOWS
from kdgat_models.evaluation.thresholds import choose_thresholds
from kdgat_models.extraction.extract import extract
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import CALIBRATION, TRAIN
from kdgat_models.npz import read_npz
from kdgat_models.registry import build
from tasks.artifact import Artifact
from tasks.plans.protocol import fold_artifact
from tasks.stages.pool import build as pool
from tasks.stages.protocol import report as protocol
from tasks.stages.reports import REPORT, capture_facts, read_pool
from tasks.stages.trial import score as trial

SETTINGS = {"preprocessing.feature_schema": "reference", "augmentation.copies": 1, "seed": 5}


class Scored:
    """A trial of the official protocol on the demo, with an untrained classifier as the teacher."""

    in_pieces: list[str]

    def __init__(self, captures: Artifact, root: Path) -> None:
        config = tiny("gat", **SETTINGS)
        self.pool = pool(config, root / "pool", [captures], ["demo"])
        (self.fold,) = make_folds("official", capture_facts(self.pool.path))
        graphs = fold_artifact("official", self.fold, self.pool, Paths(root))
        self.dataset = GraphDataset(graphs.path, config.identity)
        torch.manual_seed(0)
        self.network = build(config, self.dataset.vocabulary.num_ids, self.dataset.schema).eval()
        tensors = self.network.state_dict()
        checkpoint = Checkpoint(config, self.dataset.schema, self.dataset.vocabulary, Decision({"f1": 0.0}), tensors)
        digest = save_checkpoint(root / "gat", checkpoint)
        teacher = Artifact(kind="gat", path=root / "gat", digest=digest, summary={"parameters": 7})
        self.trial = trial(config, root / "trial", graphs, None, {"teacher": teacher}, {})
        self.windows, self.scores = read_npz(root / "trial" / WINDOWS), read_npz(root / "trial" / SCORES)
        store = self.dataset.train
        names = np.array([capture.name for capture in store.captures])
        originals = np.array([name.split("#")[0] for name in names])
        of_test = np.isin(names, self.fold.test)[store.capture]
        of_train = np.isin(originals, self.fold.train)[store.capture]
        recorded = (names == originals)[store.capture]
        self.test = np.flatnonzero(of_test)
        self.calibration = np.flatnonzero(of_train & recorded & (store.role == CALIBRATION))
        self.learnt = np.flatnonzero(of_train & (store.role == TRAIN))


@pytest.fixture(scope="module")
def scored(demo_captures, tmp_path_factory):
    root = tmp_path_factory.mktemp("trial")
    with put_in_place() as put:
        scored = Scored(demo_captures, root)
    scored.in_pieces = written_in_pieces(root, put)
    return scored


def test_pools_folds_and_trials_are_written_whole(scored):
    assert scored.in_pieces == []


def test_thresholds_have_recorded_calibration_windows_and_figures_all_windows_of_the_test_captures(scored):
    store = scored.dataset.train
    assert scored.windows["test"].tolist() == scored.test.tolist()
    assert scored.windows["calibration_labels"].tolist() == store.label[scored.calibration].tolist()
    assert 0 < store.label[scored.calibration].sum() < len(scored.calibration)
    assert scored.windows["labels"].tolist() == store.label[scored.test].tolist()
    assert scored.windows["captures"].tolist() == store.capture[scored.test].tolist()
    assert scored.windows["first_frame"].tolist() == store.first_frame[scored.test].tolist()
    assert scored.trial.summary == {"fold": "demo", "seed": 5}


def sides(scored):
    return (("calibration", scored.calibration), ("test", scored.test))


def test_a_model_scores_these_windows(scored):
    for side, windows in sides(scored):
        expected = extract(scored.network, EXTRACTORS["gat"], scored.dataset.train_data(), windows).scores
        np.testing.assert_allclose(scored.scores[f"teacher.{side}"], expected, rtol=1e-5, atol=1e-6)


def test_boosting_learns_from_the_training_windows_alone_copies_among_them(scored):
    store = scored.dataset.train
    copies = np.array(["#" in capture.name for capture in store.captures])
    assert copies[store.capture[scored.learnt]].any()
    boosting = Boosting.fit(store, scored.learnt, 5)
    for side, windows in sides(scored):
        np.testing.assert_allclose(scored.scores[f"boosting.{side}"], boosting.scores(store, windows))


def test_untrained_detectors_score_each_capture_by_itself(scored):
    store = scored.dataset.train
    paths = {row.name: row.path for row in read_pool(scored.pool.path)}
    for number, capture in enumerate(store.captures):
        for side, windows in sides(scored):
            mine = store.capture[windows] == number
            if not capture.recorded or not mine.any():
                continue
            expected = untrained_scores(capture.name, read_frames(paths[capture.name]), store.first_frame[windows[mine]], 100)
            for name in UNTRAINED:
                np.testing.assert_allclose(scored.scores[f"{name}.{side}"][mine], expected[name])


@pytest.mark.parametrize("rule", ["f1", "fpr_0.05"])
def test_a_report_decides_by_the_rule_of_the_config_at_thresholds_of_calibration_windows(scored, tmp_path, rule):
    config = tiny("gat", **{**SETTINGS, "protocol": "official", "decision.rule": rule})
    with put_in_place() as put:
        report = json.loads((protocol(config, tmp_path, scored.pool, [scored.trial]).path / REPORT).read_text())
    assert written_in_pieces(tmp_path, put) == []
    assert report["rule"] == rule
    store = scored.dataset.train
    labels = store.label[scored.test]
    for detector, own in (("teacher", 0.0), ("boosting", 0.0), ("id_entropy", None)):
        threshold = choose_thresholds(scored.scores[f"{detector}.calibration"], store.label[scored.calibration], own)[rule]
        flagged = scored.scores[f"{detector}.test"] >= threshold
        (row,) = (row for row in report["rows"] if (row["detector"], row["regime"]) == (detector, "source"))
        assert row["fpr"] == pytest.approx(flagged[labels == 0].mean()), detector
        assert row["recall"] == pytest.approx(flagged[labels == 1].mean()), detector
