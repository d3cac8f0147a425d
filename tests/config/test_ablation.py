import pytest

from config.ablation import BASE, FACTORS, base_level, chosen_factors, fuses, run_name
from config.errors import ConfigError
from config.paths import Paths
from config.resolver import resolve
from kdgat_models.files import write_json
from tasks.artifact import Artifact
from tasks.plans.ablation import chosen_folds, plan_ablation
from tasks.stages.reports import CAPTURES

DEFAULT = resolve("gat", "tiny", protocol="leave-one-vehicle-out")
CHANGES = [(factor, level) for factor in FACTORS for level in FACTORS[factor] if level != base_level(factor)]


def plan(tmp_path, *factors, **overrides):
    return plan_ablation("leave-one-vehicle-out", None, None, factors or None, overrides, Paths(tmp_path))


@pytest.mark.parametrize("factor", FACTORS)
def test_the_first_level_of_a_factor_is_the_default_method(factor):
    assert resolve("gat", "tiny", **{**FACTORS[factor][base_level(factor)], "protocol": DEFAULT.protocol}) == DEFAULT


@pytest.mark.parametrize(("factor", "level"), CHANGES)
def test_every_other_level_resolves_to_something_else(factor, level, tmp_path):
    planned = plan(tmp_path)
    run = run_name(factor, level)
    assert planned.classifier(BASE, 0) == DEFAULT
    assert fuses(FACTORS[factor][level]) or planned.classifier(run, 0) != DEFAULT
    assert planned.fused(run) == (factor == "fusion")
    assert planned.needs_teacher(run) == (factor == "distillation")
    assert planned.needs_autoencoder(run) == (factor == "fusion" or level in ("curriculum", "hard_undersample"))
    assert (planned.pool_of(run) != planned.pool_of(BASE)) == (factor in ("schema", "augmentation"))


def test_levels_share_pools_and_what_they_stand_on_is_that_of_the_base(tmp_path):
    planned = plan(tmp_path)
    schemas = [(c.preprocessing.feature_schema, c.augmentation.copies) for c in planned.pools().values()]
    assert sorted(schemas) == [("reference", 2), ("relative", 0), ("relative", 2)]
    for config in (planned.teacher(1), planned.autoencoder(1)):
        assert (config.seed, config.auxiliary.name) == (1, "none")
        assert (config.protocol, config.dataset) == ("leave-one-vehicle-out", "demo")


def test_factors_are_known_and_an_unknown_one_is_told_them():
    assert chosen_factors(None) == tuple(FACTORS)
    assert chosen_factors(["loss", "convolution", "loss"]) == ("convolution", "loss")
    with pytest.raises(ConfigError, match=r"'losses'; there are: convolution, loss"):
        chosen_factors(["loss", "losses"])
    with pytest.raises(ConfigError, match="there are"):
        chosen_factors([])


@pytest.mark.parametrize("setting", [{"gat.pooling": "max"}, {"gat": {"hidden": 8}}, {"method": "published"}])
def test_a_setting_that_is_varied_cannot_be_set(tmp_path, setting):
    with pytest.raises(ConfigError, match="factor pooling"):
        plan(tmp_path, "pooling", **setting)


def test_a_setting_of_another_factor_holds_for_all_levels(tmp_path):
    planned = plan(tmp_path, "loss", **{"gat.pooling": "max"})
    assert {planned.classifier(run, 0).gat.pooling for run in planned.levels} == {"max"}


def test_an_unknown_fold_is_told_the_known_ones(tmp_path):
    planned = plan(tmp_path, "loss")
    facts = [
        {"name": f"demo/train/{v}-{a}", "dataset": "demo", "split": "train", "role": "train", "attack": a, "path": "x.parquet"}
        | {"vehicle": v, "group": v + a}
        for v in ("alpha", "bravo")
        for a in ("none", "flooding")
    ]
    write_json(tmp_path / CAPTURES, facts)
    pools = {planned.pool_of(BASE): Artifact(kind="pool", path=tmp_path, digest="0")}
    with pytest.raises(ConfigError, match=r"'zulu'; leave-one-vehicle-out has: alpha, bravo"):
        chosen_folds(planned, pools, ["alpha", "zulu"], Paths(tmp_path))
