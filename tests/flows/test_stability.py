"""`kdgat stability`: tables from the run store, and what is said where there is nothing to compare."""

import json
from datetime import UTC, datetime, timedelta
from typing import get_args

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli.main import app
from flows.cli.stability import MORE, By
from kdgat_models.errors import ConfigError
from kdgat_models.explanation import agreement
from kdgat_models.explanation.importance import Feature, ranked
from kdgat_models.explanation.snapshots import Origin, Snapshot, write_snapshot
from kdgat_models.runs.store import RunStore

FEATURES = [Feature("node", name) for name in "abcde"] + [Feature("edge", "a")]


def add(root, importance, seed, variant="large", fold=None, days=0, dataset="demo", protocol=None):
    origin = Origin(f"run-{variant}-{fold}-{seed}-{days}", dataset, protocol, variant, "gat", "large", seed)
    time = datetime(2026, 1, 2, 12, tzinfo=UTC) + timedelta(days=days)
    rows = tuple(ranked(FEATURES, np.array(importance, float)))
    write_snapshot(RunStore(root / "store"), Snapshot(origin, fold, "integrated_gradients", 40, time, rows))


def asked(root, *options):
    return CliRunner().invoke(app, ["stability", "--root", str(root), "--top", "2", *options])


def as_json(root, *options):
    result = asked(root, "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def root(tmp_path):
    add(tmp_path, [6, 5, 4, 3, 2, 1], seed=0)
    add(tmp_path, [6, 4, 5, 3, 2, 1], seed=1)
    add(tmp_path, [1, 2, 3, 4, 5, 6], seed=0, variant="small_nokd")
    return tmp_path


def test_the_seeds_of_each_variant_are_compared(root):
    (found,) = as_json(root)
    assert {name: found[name] for name in ("dataset", "variant", "by", "members", "top", "seed")} == {
        "dataset": "demo",
        "variant": "large",
        "by": "seed",
        "members": ["0", "1"],
        "top": 2,
        "seed": None,
    }
    assert found["jaccard"] == pytest.approx(1 / 3)
    assert found["kendall"] == pytest.approx(13 / 15)
    assert found["nogueira"] == pytest.approx(1 - (2 * (1 / 4) * 2 / 6) / (2 / 6 * 4 / 6))
    assert found["interval"] is None
    assert (found["always"], found["sometimes"]) == (["node a"], {"node b": 0.5, "node c": 0.5})


def test_the_table_says_the_same(root):
    result = asked(root)
    assert result.exit_code == 0
    for text in ("demo/large, integrated gradients", "0, 1", "0.333", "0.867", "needs 3 or more", "node a", "node b (50%)"):
        assert text in result.stdout


def test_three_seeds_have_an_interval(root):
    add(root, [6, 5, 4, 3, 2, 1], seed=2)
    (found,) = as_json(root)
    low, high = found["interval"]
    assert low < found["nogueira"] < high <= 1


@pytest.mark.parametrize("by", By)
def test_trainings_are_compared_by_whatever_tells_them_apart(tmp_path, by):
    for number in range(2):
        for fold in ("alpha", "bravo"):
            add(tmp_path, [6, 5, 4, 3, 2, 1], seed=number if by != "night" else 0, fold=fold, days=number)
    add(tmp_path, [6, 5, 4, 3, 2, 1], seed=0, fold="alpha", days=5)
    found = as_json(tmp_path, "--by", by)
    expected = {
        "seed": [("alpha", None, ["1", "0"]), ("bravo", None, ["0", "1"])],
        "fold": [(None, 0, ["bravo", "alpha"]), (None, 1, ["alpha", "bravo"])],
        "retraining": [("alpha", 0, ["run-large-alpha-0-0", "run-large-alpha-0-5"])],
        "night": [
            ("alpha", 0, ["2026-01-02", "2026-01-03", "2026-01-07"]),
            ("bravo", 0, ["2026-01-02", "2026-01-03"]),
        ],
    }[by]
    assert sorted(((item["fold"], item["seed"], item["members"]) for item in found), key=str) == sorted(expected, key=str)


def test_a_dataset_and_a_variant_can_be_chosen(root):
    for seed in (0, 1):
        add(root, [6, 5, 4, 3, 2, 1], seed, variant="small_nokd", days=1)
        add(root, [6, 5, 4, 3, 2, 1], seed, dataset="set_01", days=2)
    chosen = as_json(root, "--dataset", "demo", "--variant", "small_kd_vgae")  # whose classifier is that of small_nokd
    assert [(item["dataset"], item["variant"]) for item in chosen] == [("demo", "small_nokd")]
    assert len(as_json(root)) == 3


def test_what_a_protocol_trained_can_be_chosen_and_is_not_mixed_with_the_rest(root):
    for seed in (2, 3):
        add(root, [1, 2, 3, 4, 5, 6], seed, protocol="official")
    (chosen,) = as_json(root, "--protocol", "official")
    assert (chosen["dataset"], chosen["protocol"], chosen["members"]) == ("demo", "official", ["2", "3"])
    assert [(item["protocol"], item["members"]) for item in as_json(root)] == [(None, ["0", "1"]), ("official", ["2", "3"])]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--variant", "small_nokd"], r"1 snapshot\(s\) of importance of any dataset/small_nokd.*--dataset demo --seed 1`"),
        (
            ["--dataset", "set_01"],
            r"0 snapshot.*there are some of demo/large, demo/small_nokd.*--dataset set_01 --seed 0`",
        ),
        (["--protocol", "official", "--variant", "large"], r"0 snapshot.* of official/large, .*there are some of demo/large"),
        (["--by", "fold"], r"`kdgat evaluate --modality automotive --protocol leave-one-vehicle-out --seeds 3`"),
        (["--protocol", "official"], r"`kdgat evaluate --modality automotive --protocol official --seeds 2`"),
        (["--protocol", "oficial"], "Did you mean official?"),
        (["--by", "retraining"], r"`kdgat run --modality automotive --dataset demo` after a change"),
        (["--variant", "huge"], "unknown variant 'huge'; there are: large"),
        (["--top", "6"], "choose from 1 to 5"),
    ],
)
def test_where_nothing_can_be_compared_it_says_why_and_which_command_makes_more(root, options, said):
    error = asked(root, *options).exception
    assert isinstance(error, ConfigError)
    with pytest.raises(ConfigError, match=said):
        raise error


def test_a_broken_file_is_named_and_the_others_are_compared(root):
    (root / "store" / "importances" / "torn.parquet").write_bytes(b"PAR1")
    result = asked(root, "--json")
    assert (result.exit_code, len(json.loads(result.stdout))) == (1, 1)
    assert "torn.parquet is broken" in result.stderr


def test_the_ways_to_compare_are_those_of_the_library():
    assert [by.value for by in By] == list(agreement.COMPARISONS) == list(get_args(agreement.By))
    assert set(MORE) == set(By)
