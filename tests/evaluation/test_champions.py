from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from kdgat_models.evaluation.metrics import window_metrics
from kdgat_models.evaluation.nightly.champions import Champion, champions, register, remove
from kdgat_models.evaluation.rows import EvaluationRow
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import ChampionRow

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
CHAMPION = Champion(
    dataset="demo",
    variant="large",
    models={"vgae": {"kind": "vgae", "digest": "d1"}, "fusion": None},
    graphs={"kind": "graphs", "digest": "d2"},
    raw="/data/demo",
    config={"seed": 3, "vgae": {"hidden": [8, 4]}},
    rows=(EvaluationRow("large", "gat", "test_01", "all", 5.0, window_metrics(np.repeat([0, 1], 5), np.arange(10.0), 5.0)),),
    registered_at=NOW,
)


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path)


def test_a_champion_is_read_as_it_was_registered(store):
    assert champions(store) == []
    register(store, CHAMPION)
    assert champions(store) == [CHAMPION]
    assert (CHAMPION.name, CHAMPION.slug) == ("demo/large", "demo-large")


def test_the_last_registration_of_a_dataset_and_variant_holds_and_others_stay(store):
    small, elsewhere = CHAMPION._replace(variant="small_kd"), CHAMPION._replace(dataset="set_01")
    for champion in (small, CHAMPION, elsewhere, CHAMPION._replace(raw="/new")):
        register(store, champion)
    assert champions(store) == [CHAMPION._replace(raw="/new"), small, elsewhere]  # by name


def test_a_removed_one_is_watched_no_longer_until_it_is_registered_again(store):
    small = CHAMPION._replace(variant="small_kd")
    register(store, CHAMPION)
    register(store, small)
    assert remove(store, "demo", "large")
    assert champions(store) == [small]
    assert not remove(store, "demo", "large")
    assert not remove(store, "large", "demo")
    register(store, CHAMPION)
    assert champions(store) == [CHAMPION, small]


WRONG = [("models", "{"), ("models", None), ("rows", None), ("rows", '[{"variant": "large"}]'), ("raw", None)]


@pytest.mark.parametrize(("column", "content"), WRONG)
def test_one_that_cannot_be_read_is_named_and_the_others_stay_each_time(store, column, content):
    small = CHAMPION._replace(variant="small_kd")
    for champion in (small, CHAMPION._replace(dataset="broken"), CHAMPION):
        register(store, champion)
    (row,) = (row for row in store.rows(ChampionRow) if row.dataset == "broken")
    store.write(ChampionRow, "broken-large-9", [replace(row, **{column: content}, written_at=datetime.now(UTC))])
    for _ in range(2):
        assert champions(store) == [CHAMPION, small]
    (warning,) = store.warnings()
    assert "what it says of broken/large cannot be read" in warning
    assert remove(store, "demo", "large")
    assert champions(store) == [small]


def test_every_registration_is_kept(store):
    register(store, CHAMPION)
    register(store, CHAMPION)
    remove(store, "demo", "large")
    assert [row.removed for row in store.rows(ChampionRow)] == [False, False, True]
    assert len(store.files("champions", "demo-large-*")) == 3
