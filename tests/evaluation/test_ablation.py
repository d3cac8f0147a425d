import numpy as np
import pytest

from kdgat_models.errors import DatasetError
from kdgat_models.evaluation.ablation.effects import ablation_rows, effect, spread
from kdgat_models.evaluation.ablation.report import NO_INTERVAL, markdown, plot_effects
from kdgat_models.evaluation.ablation.rows import AblationReport, Effect, Score, Spread

BASE = [Score("a", 0, 0.5, 0.8), Score("b", 0, 0.7, None), Score("a", 1, 0.6, 0.6), Score("b", 1, 1.0, None)]
LEVEL = [Score("b", 1, 0.9, None), Score("a", 1, 0.8, 0.7), Score("b", 0, 0.8, None), Score("a", 0, 0.9, 0.8)]


def test_spread_is_over_seeds_of_the_mean_over_folds():
    assert spread("f1", BASE) == pytest.approx((0.7, 0.2 / np.sqrt(2)))  # seed 0: 0.6, seed 1: 0.8
    assert spread("roc_auc", BASE) == pytest.approx((0.7, 0.2 / np.sqrt(2)))  # fold b has one class: left out
    assert spread("f1", BASE[:2]) == (pytest.approx(0.6), None)
    assert spread("roc_auc", [BASE[1]]) == Spread(None, None)


def test_an_effect_pairs_by_fold_and_seed():
    found = effect("f1", LEVEL, BASE)
    assert found.value == pytest.approx((0.4 + 0.1 + 0.2 - 0.1) / 4)
    assert -0.1 <= found.low < found.value < found.high <= 0.4
    assert effect("f1", LEVEL, BASE) == found
    assert effect("f1", BASE, BASE) == Effect(0, 0, 0)


def test_the_interval_is_that_of_the_mean_of_pairs():
    rng = np.random.default_rng(1)
    base = [Score(str(fold), seed, 0.5, None) for fold in range(20) for seed in range(5)]
    level = [score._replace(f1=0.5 + rng.normal(0.1, 0.05)) for score in base]
    found = effect("f1", level, base)
    differences = np.array([after.f1 - before.f1 for after, before in zip(level, base, strict=True)])
    half = 1.96 * differences.std() / 10
    assert (found.low, found.high) == pytest.approx((differences.mean() - half, differences.mean() + half), abs=1e-3)


def test_one_seed_or_one_fold_has_no_interval():
    for kept in ({"seed": 0}, {"fold": "a"}):
        ((field, wanted),) = kept.items()
        level, base = ([score for score in scores if getattr(score, field) == wanted] for scores in (LEVEL, BASE))
        found = effect("f1", level, base)
        assert found.value is not None
        assert (found.low, found.high) == (None, None)
    assert effect("roc_auc", LEVEL, BASE) == (pytest.approx(0.05), None, None)  # defined in one fold alone
    assert effect("roc_auc", [LEVEL[0]], [BASE[3]]) == Effect(None, None, None)


def test_levels_of_other_folds_are_refused():
    with pytest.raises(DatasetError, match="not the same ones"):
        effect("f1", LEVEL[:2], BASE[:2])


def test_the_report_has_a_row_per_level_and_says_where_there_are_no_intervals(tmp_path):
    table = {"pooling": ["mean_max", "max"], "loss": ["cross_entropy", "focal"]}
    runs = {("pooling", "mean_max"): BASE, ("pooling", "max"): LEVEL, ("loss", "cross_entropy"): BASE, ("loss", "focal"): LEVEL}
    rows = ablation_rows(table, runs)
    assert [(row.factor, row.level, row.effect is None) for row in rows] == [
        ("pooling", "mean_max", True),
        ("pooling", "max", False),
        ("loss", "cross_entropy", True),
        ("loss", "focal", False),
    ]
    report = AblationReport("official", ["a", "b"], [0, 1], interval=True, rows=rows, runs={"base": BASE})
    text = markdown(report)
    assert "| pooling | mean_max (base) | 0.7000 ± 0.1414 | - |" in text
    assert "| loss | focal | 0.8500 ± 0.0000 | +0.1500 (" in text
    assert NO_INTERVAL not in text
    assert NO_INTERVAL in markdown(report._replace(interval=False))
    paths = [tmp_path / "effects.png", tmp_path / "effects.svg"]
    plot_effects(rows, "official", paths)
    drawn = [path.read_bytes() for path in paths]
    assert drawn[0].startswith(b"\x89PNG")
    assert b"<svg" in drawn[1]
    plot_effects(rows, "official", paths)
    assert [path.read_bytes() for path in paths] == drawn
