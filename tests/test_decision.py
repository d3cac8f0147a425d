"""Thresholds, temperature and scales as one record, and flat in files."""

import numpy as np
import pytest

from kdgat_models.decision import Decision, ScoreScale
from kdgat_models.errors import CheckpointError

FUSION = Decision({"f1": 0.5, "fpr_0.01": 0.9}, scales={"vgae": ScoreScale(3.0, 2.0), "gat": ScoreScale(-1.0, 0.5)})
BASE = Decision({"f1": -1.0}, 2.5)


@pytest.mark.parametrize("decision", [FUSION, BASE, Decision({"f1": 0.0})])
def test_a_decision_is_read_back_as_it_was(decision):
    assert Decision.read(decision.flat()) == decision


def test_in_a_file_it_is_flat_as_checkpoints_of_every_version_have_it():
    scaled = {"vgae_threshold": 3.0, "vgae_scale": 2.0, "gat_threshold": -1.0, "gat_scale": 0.5}
    assert FUSION.flat() == {"f1": 0.5, "fpr_0.01": 0.9, **scaled}
    assert BASE.flat() == {"f1": -1.0, "temperature": 2.5}


def test_half_a_scale_is_none_and_is_kept():
    read = Decision.read({"f1": 0.5, "vgae_scale": 2.0, "gat_threshold": 1.0})
    assert read.flat() == {"f1": 0.5, "vgae_scale": 2.0, "gat_threshold": 1.0}
    with pytest.raises(CheckpointError, match=r"no scale for the scores of vgae, gat\. Train the fusion again"):
        read.scales_of(["vgae", "gat"])


def test_the_threshold_of_a_rule_is_its_own_and_a_missing_one_is_named_with_those_that_there_are():
    assert (FUSION.threshold(), FUSION.threshold("fpr_0.01")) == (0.5, 0.9)
    with pytest.raises(CheckpointError, match=r"no threshold 'fpr_0.05'; there are: f1, fpr_0.01"):
        FUSION.threshold("fpr_0.05")


def test_scales_are_given_by_name():
    assert FUSION.scales_of(["gat"]) == {"gat": ScoreScale(-1.0, 0.5)}
    assert FUSION.scales["gat"](np.array([-1.0])) == pytest.approx([0.5])
