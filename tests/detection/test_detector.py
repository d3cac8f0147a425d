"""One path from frames to verdicts, whichever way the frames come."""

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opened import loaded
from relative_cases import captures, simulated

import kdgat_models
from kdgat_models.bundle import AboutBundle, load_bundle, save_bundle
from kdgat_models.checkpoint import save_checkpoint
from kdgat_models.detection.session import Options
from kdgat_models.detection.verdicts import NOBODY, joined_verdicts
from kdgat_models.detector import Detector
from kdgat_models.errors import ArchiveError, CheckpointError, SchemaError
from kdgat_models.extraction.extract import extract
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.graphs.memory import StreamStore
from kdgat_models.graphs.store import GraphData
from kdgat_models.graphs.stream import GraphStream
from kdgat_models.graphs.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def detectors():
    models = {name: loaded(name) for name in ("vgae", "gat")}
    small = {"preprocessing.window_size": 40, "preprocessing.stride": 25}
    return {
        "gat": Detector({"gat": models["gat"]}),
        "vgae": Detector({"vgae": models["vgae"]}),
        "fusion": Detector(models, loaded("fusion")),
        "overlapping": Detector({"gat": loaded("gat", **small)}),
    }


def streamed(detector, frames, cuts, options=None):
    session = detector.stream("capture", options)
    pieces = np.split(np.arange(frames.size), sorted(cut for cut in cuts if cut <= frames.size))
    updates = [session.push(frames._make(column[piece] for column in frames)) for piece in pieces]
    updates.append(session.finish())
    return (
        joined_verdicts([update.verdicts for update in updates]),
        [a for update in updates for a in update.alarms],
        session.notes,
    )


@pytest.mark.parametrize("kind", ["gat", "vgae", "fusion", "overlapping"])
@settings(max_examples=6, deadline=None)
@given(captures(), st.lists(st.integers(0, 4000), max_size=6))
def test_a_stream_cut_anywhere_gives_the_verdicts_of_the_whole_capture_bit_for_bit(detectors, kind, frames, cuts):
    options = Options(adapt_s=0.2) if kind in ("gat", "overlapping") else None
    whole, alarms, notes = streamed(detectors[kind], frames, [], options)
    parts, same_alarms, same_notes = streamed(detectors[kind], frames, cuts, options)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    assert alarms == same_alarms
    assert notes == same_notes


@pytest.mark.parametrize("kind", ["gat", "vgae", "fusion"])
def test_verdicts_are_those_that_the_stages_compute_in_batches(detectors, kind):
    detector, frames = detectors[kind], simulated(1, "DoS")
    (graphs,) = GraphStream("capture", detector.schema, 100, 100).push(frames)
    data = GraphData(StreamStore("capture", detector.schema, graphs), detector.vocabulary)
    verdicts = detector.scores(frames)
    assert verdicts.windows == len(graphs) > 5
    np.testing.assert_allclose(verdicts.score, detector.window_scores(data, np.arange(len(graphs))), rtol=1e-4, atol=1e-5)
    assert verdicts.attack.tolist() == (verdicts.score >= detector.threshold).tolist()
    if kind == "vgae":
        expected = extract(detector.models["vgae"].network, EXTRACTORS["vgae"], data, np.arange(len(graphs))).scores
        np.testing.assert_allclose(verdicts.score, expected, rtol=1e-4)
        assert set(verdicts.suspect.tolist()) == {NOBODY}
    else:
        assert set(verdicts.suspect.tolist()) <= set(frames.arbitration_id.tolist())


def test_the_fusion_decides_where_there_is_one_and_the_classifier_before_the_autoencoder(detectors):
    assert {kind: detector.decides for kind, detector in detectors.items()} == {
        "gat": "gat",
        "vgae": "vgae",
        "fusion": "fusion",
        "overlapping": "gat",
    }
    assert Detector(detectors["fusion"].models).decides == "gat"
    assert detectors["fusion"].threshold == 0.4


def test_models_that_do_not_belong_together_are_refused(detectors):
    models = detectors["fusion"].models
    with pytest.raises(SchemaError, match="different vocabularies"):
        Detector({**models, "gat": loaded("gat", known=Vocabulary((1, 2)))})
    published = loaded("gat", **{"preprocessing.feature_schema": "reference"})
    with pytest.raises(SchemaError, match="reference"):
        Detector({**models, "gat": published})
    with pytest.raises(CheckpointError, match=r"no threshold 'fpr_0\.5'"):
        Detector(models, rule="fpr_0.5")


def test_the_library_has_its_front_door_at_the_top():
    assert kdgat_models.Detector is Detector
    with pytest.raises(AttributeError, match="no attribute 'Detektor'"):
        _ = kdgat_models.Detektor


def about(*models, **more):
    return AboutBundle(name="test", made=datetime(2026, 1, 1, tzinfo=UTC), rule="fpr_0.01", models=models, **more)


@pytest.mark.parametrize("models", [("gat",), ("vgae", "gat", "fusion")])
def test_a_bundle_gives_the_verdicts_of_the_models_in_it(detectors, tmp_path, models):
    opened = {name: loaded(name).checkpoint for name in models}
    file = save_bundle(tmp_path / "car.kdgat", about(*models, data_sheet={"seed": 0}), opened)
    frames = simulated(2, "DoS")
    found, expected = Detector.load(file), detectors["fusion" if "fusion" in models else "gat"]
    np.testing.assert_array_equal(found.scores(frames).score, expected.scores(frames).score)
    assert found.threshold == {"gat": 0.5, "fusion": 0.6}[found.decides]
    assert load_bundle(file).about.data_sheet == {"seed": 0}


def test_the_same_models_make_the_same_bundle(tmp_path):
    files = [save_bundle(tmp_path / f"{i}.kdgat", about("gat"), {"gat": loaded("gat").checkpoint}) for i in range(2)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_run_folder_is_opened_as_its_one_model(detectors, tmp_path):
    save_checkpoint(tmp_path / "gat", loaded("gat").checkpoint)
    frames = simulated(3, None)
    np.testing.assert_array_equal(Detector.load(tmp_path / "gat").scores(frames).score, detectors["gat"].scores(frames).score)
    save_checkpoint(tmp_path / "fusion", loaded("fusion").checkpoint)
    with pytest.raises(ArchiveError, match="without the models that it combines"):
        Detector.load(tmp_path / "fusion")


@pytest.mark.parametrize("name", ["nothing", "no/such/file.kdgat", ""])
def test_what_is_no_model_is_refused_with_what_there_is(name):
    with pytest.raises(ArchiveError, match="kdgat bundle makes one"):
        Detector.load(name)
