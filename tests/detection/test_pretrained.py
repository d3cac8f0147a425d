"""The student that ships: it opens, is small, and does on simulated vehicles that it never saw what its card says."""

import numpy as np
import pytest
from relative_cases import simulated

from kdgat_models import Detector
from kdgat_models.bundle import load_bundle
from kdgat_models.detector import PRETRAINED, STUDENT
from kdgat_models.graphs.relative import RELATIVE

VEHICLES = range(100, 104)  # seeds of simulated vehicles; those of its training have names


@pytest.fixture(scope="module")
def student():
    return Detector.load()


def test_it_is_opened_by_its_name_and_by_nothing_at_all(student):
    assert student.decides == "gat"
    assert Detector.load("student").threshold == student.threshold
    assert (PRETRAINED / f"{STUDENT}.kdgat").stat().st_size < 1_000_000


def test_its_data_sheet_says_what_it_was_trained_on_and_measured_with():
    sheet = load_bundle(PRETRAINED / f"{STUDENT}.kdgat").about.data_sheet
    assert sheet["trained_on"] == "mixed"
    assert {row["split"] for row in sheet["metrics"]} >= {"test_01_known_vehicle_known_attack", "test_05_suppress"}


def test_it_reads_the_features_that_this_version_makes(student):
    assert student.schema_record == RELATIVE.describe()


@pytest.mark.parametrize("seed", VEHICLES)
def test_a_flood_on_a_vehicle_that_it_never_saw_is_found_within_a_window_and_normal_traffic_is_quiet(student, seed):
    attacked = simulated(seed, "DoS", seconds=12, begin=8.0, end=9.0)
    onset = float(attacked.timestamp[attacked.label == 1][0])
    found = [alarm for alarm in student.detect(attacked) if alarm.end > onset]
    assert found
    assert found[0].detected - onset < 0.1
    verdicts = student.scores(simulated(seed, None, seconds=12))
    assert np.mean(verdicts.attack) < 0.02
