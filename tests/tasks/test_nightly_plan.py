"""What the nightly re-evaluation takes from earlier runs and earlier versions."""

from datetime import UTC, datetime

import pytest
from conftest import tiny

from config.errors import ConfigError
from config.paths import Paths
from kdgat_models.evaluation.nightly.champions import Champion
from tasks.artifact import Artifact
from tasks.plans.nightly import config_tonight, latest_evaluation
from tasks.stages.reports import EvaluationReport
from tasks.stages.table import evaluate_models


def test_a_champion_of_an_earlier_version_is_evaluated_with_the_names_of_today():
    older = tiny("fusion").model_dump(mode="json") | {"model_type": "dqn"}
    older["resources"] = {"vgae_gb": 7.0, "cap_gb": 9.0}
    champion = Champion("demo", "large", {}, {}, "/data", older, [], datetime(2026, 1, 1, tzinfo=UTC))
    config = config_tonight(champion, "set_01")
    assert (config.model_type, config.dataset) == ("fusion", "set_01")
    assert config.resources.memory_gb == {"vgae": 7.0}


def evaluated(folder, variant):
    folder.mkdir(parents=True)
    report = EvaluationReport(dataset="demo", variant=variant, occasion="training", rows=())
    (folder / "metrics.json").write_text(report.model_dump_json())
    Artifact(kind="evaluation", path=folder, digest="d").publish()
    return folder


def test_the_newest_evaluation_of_a_variant_is_found_in_folders_of_today_and_of_earlier_versions(tmp_path):
    family = evaluate_models.family(Paths(tmp_path), tiny("fusion"))
    assert family.name == "fusion_large_evaluation"
    older = evaluated(family.with_name("dqn_large_evaluation") / "20260101T000000-a", "large")
    assert latest_evaluation(Paths(tmp_path), "demo", "large") == older
    newer = evaluated(family / "20260102T000000-b", "large")
    evaluated(family / "20260103T000000-c", "small_kd")
    assert latest_evaluation(Paths(tmp_path), "demo", "large") == newer
    with pytest.raises(ConfigError, match="has no evaluated tiny_kd"):
        latest_evaluation(Paths(tmp_path), "demo", "tiny_kd")
