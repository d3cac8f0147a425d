"""Models that were trained before: which of them a plan stands on, and what it says of those that it cannot."""

import pytest
from trained import IDS, finished

from config import ConfigError
from config.paths import Paths
from kdgat_models.errors import CheckpointError, MissingTeacherError
from tasks.plans.training import plan_pipeline


def plan(tmp_path, **options):
    return plan_pipeline("demo", Paths(tmp_path), **{"variants": None, "models": ["vgae", "gat", "fusion"], **options})


def test_fusion_alone_takes_models_that_were_trained_before_or_says_what_is_missing(tmp_path):
    with pytest.raises(ConfigError, match=r"stands on gat.*--models"):
        plan(tmp_path, variants=["large"], models=["fusion"])
    vgae, gat = finished(tmp_path, "vgae"), finished(tmp_path, "gat")
    earlier = plan(tmp_path, variants=["large"], models=["fusion"]).variants[0].earlier
    assert (earlier["vgae"].digest, earlier["gat"].digest) == (vgae.digest, gat.digest)


def test_fusion_does_not_stand_on_a_model_that_reads_other_graphs(tmp_path):
    finished(tmp_path, "gat")
    finished(tmp_path, "vgae", method="published")
    with pytest.raises(ConfigError, match=r"stands on vgae.*does not fit:\n.*its method is published"):
        plan(tmp_path, variants=["large"], models=["fusion"])


def test_the_classifier_alone_needs_no_autoencoder_without_a_curriculum(tmp_path):
    for ranked in ({"method": "published"}, {"curriculum.sampling": "hard_undersample"}):
        with pytest.raises(ConfigError, match=r"curriculum.sampling=normal"):
            plan(tmp_path, variants=["large"], models=["gat"], overrides=ranked)
    for overrides in ({}, {"method": "published", "curriculum.sampling": "normal"}):
        planned = plan(tmp_path, variants=["large"], models=["gat"], overrides=overrides)
        assert planned.variants[0].trains == ("gat",)
        assert planned.variants[0].earlier == {"vgae": None, "gat": None, "fusion": None}


def refused(tmp_path, **options):
    with pytest.raises(ConfigError) as error:
        plan(tmp_path, variants=["large"], **options)
    return str(error.value)


def test_what_is_missing_is_named_with_the_ways_out(tmp_path):
    published = {"method": "published"}
    alone = "stands on {}, neither trained now nor before; add it to --models"
    assert refused(tmp_path, models=["fusion"]) == f"fusion (large) {alone.format('gat')}"
    normal = f"gat (large) {alone.format('vgae')} or set curriculum.sampling=normal"
    assert refused(tmp_path, models=["gat"], overrides=published) == normal
    folder = finished(tmp_path, "vgae").path
    unfit = ". What was trained before does not fit:\n  {}: its method is relative, this run's is published; it reads"
    assert refused(tmp_path, models=["gat"], overrides=published).startswith(normal + unfit.format(folder))
    gat = finished(tmp_path, "gat", method="published")
    found = refused(tmp_path, models=["fusion"], overrides=published)
    assert found.startswith(f"fusion (large) {alone.format('vgae')}" + unfit.format(folder))
    assert refused(tmp_path, models=["gat", "fusion"], overrides=published) == found.replace("fusion (", "gat, fusion (")
    newer = finished(tmp_path, "gat", method="published").path
    assert newer != gat.path
    finished(tmp_path, "vgae", method="published")
    earlier = plan(tmp_path, variants=["large"], models=["fusion"], overrides=published).variants[0].earlier
    assert earlier["gat"].path == newer


def test_who_knows_the_ids_of_the_graphs_is_asked_for_all_that_is_not_trained_now(tmp_path):
    lookup = {"identity.encoding": "lookup"}
    vgae, _ = finished(tmp_path, "vgae", **lookup), finished(tmp_path, "gat", **lookup)
    asked = []

    def known(config):
        asked.append((config.scale, config.model_type))
        return IDS

    def others(config):
        return (7,)

    fusion, student = {"variants": ["large"], "models": ["fusion"]}, {"variants": ["small_kd"], "models": ["vgae"]}
    options = {"overrides": lookup, "known_ids": known}
    plan(tmp_path, **fusion, **options)
    plan(tmp_path, **student, **options)
    plan(tmp_path, **student, **options, teachers={"vgae": vgae.path})
    assert asked == [("large", "gat"), ("large", "vgae"), ("small", "vgae"), ("small", "vgae")]
    said = "it knows 3 arbitration IDs, this run's graphs have 1, and not the same ones"
    for error, more in (
        (ConfigError, fusion),
        (MissingTeacherError, student),
        (CheckpointError, {**student, "teachers": {"vgae": vgae.path}}),
    ):
        with pytest.raises(error, match=said):
            plan(tmp_path, **more, overrides=lookup, known_ids=others)


def test_notes_of_the_lists_and_of_teachers_stand_side_by_side_and_each_once(tmp_path):
    foreign = finished(tmp_path, "vgae", dataset="hcrl_sa")
    planned = plan(
        tmp_path,
        variants=["small_kd", "tiny_kd"],
        models=["vgae", "gat"],
        distillation=["with-kd", "no-kd"],
        teachers={"vgae": foreign.path},
    )
    assert planned.notes == (
        "small_kd with distillation with-kd,no-kd is called small_kd_vgae",
        "tiny_kd with distillation with-kd,no-kd is called tiny_kd_vgae",
        f"the teacher of vgae in {foreign.path} learnt on hcrl_sa",
    )
    assert planned.dataset == "demo"


def test_a_teacher_folder_of_an_unfinished_run_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="not a finished run folder"):
        plan(tmp_path, variants=["small_kd"], teachers={"vgae": tmp_path})
