"""The pipeline as the config declares it: order, skipped and inserted stages, and what each misses."""

import pytest
from conftest import tiny
from own_stages import NoContext, NoStage, Relabelled, Silent, Undecided, WindowCount
from stage_runs import runs

from config import ConfigError, resolve
from kdgat_models.errors import StageError
from tasks import caching
from tasks.artifact import Artifact
from tasks.caching import cache_key
from tasks.pipeline_stage import PipelineStage
from tasks.plans.sequence import steps_of
from tasks.stages.table import build_graphs
from tasks.testing import check_stage


def steps(**settings):
    return steps_of(resolve("vgae", "large", **{f"pipeline.{name}": value for name, value in settings.items()}).pipeline)


def names(**settings):
    found = steps(**settings)
    return [step.name for step in found.shared], [step.name for step in found.of_variant]


SHARED, OF_VARIANT = ["ingest", "graphs"], ["vgae", "gat", "fusion", "evaluation"]


def test_the_default_is_what_the_pipeline_always_was():
    assert names() == (SHARED, OF_VARIANT)


@pytest.mark.parametrize(
    "skip", ["fusion", "evaluation", "fusion,evaluation", ["vgae", "fusion"], "vgae,gat,fusion,evaluation"]
)
def test_what_nobody_needs_can_be_skipped(skip):
    gone = skip.split(",") if isinstance(skip, str) else skip
    assert names(skip=skip) == (SHARED, [name for name in OF_VARIANT if name not in gone])


def test_another_order_that_the_data_allow():
    assert names(stages="ingest,graphs,gat,vgae,fusion,evaluation")[1] == ["gat", "vgae", "fusion", "evaluation"]
    assert names(stages=["ingest", "graphs", "vgae", "evaluation"])[1] == ["vgae", "evaluation"]


def test_stages_of_ones_own_stand_where_they_are_put():
    own = "own_stages:WindowCount"
    assert names(insert=f"after:graphs:{own}")[0] == ["ingest", "graphs", "WindowCount"]
    assert names(insert="before:fusion:own_stages:OfEachVariant")[1] == ["vgae", "gat", "OfEachVariant", "fusion", "evaluation"]
    two = f"after:graphs:{own},after:WindowCount:own_stages:Relabelled"
    assert names(insert=two)[0] == ["ingest", "graphs", "WindowCount", "Relabelled"]
    step = steps(insert=f"after:graphs:{own}").shared[2]
    assert (step.needs, step.makes, step.reference) == (("graphs",), None, own)
    assert isinstance(WindowCount(), PipelineStage)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"skip": "vgae"}, "fusion misses its input vgae: vgae, which makes it, is skipped. Skip fusion, too"),
        ({"skip": "ingest"}, "graphs misses its input captures: ingest, which makes it, is skipped"),
        ({"skip": "graphs"}, "vgae misses its input graphs: graphs, which makes it, is skipped"),
        ({"skip": "vgae,gat,fusion"}, "evaluation misses a model to evaluate: vgae and gat are skipped; skip it, too"),
        ({"skip": "drift"}, "pipeline.skip=drift: the pipeline has no such stage; it has: ingest, graphs, vgae, gat, fusion"),
        ({"skip": "fusion,fusion"}, "pipeline.skip names fusion twice"),
        ({"stages": "ingest,graphs,graphs"}, "pipeline.stages names graphs twice"),
        ({"stages": "ingest,graphs,vgae,fusion,gat"}, "fusion misses its input gat: gat, which makes it, stands behind it"),
        ({"stages": "ingest,vgae,graphs"}, "vgae stands before a stage that runs once for all variants"),
        ({"insert": "own_stages:WindowCount"}, "write after:STAGE:MODULE:CLASS or before:STAGE:MODULE:CLASS"),
        ({"insert": "after:graph:own_stages:WindowCount"}, "the pipeline has no stage 'graph'; it has: ingest, graphs"),
        ({"insert": "after:graphs:no_such_module:Check"}, "no_such_module:Check cannot be made: ModuleNotFoundError"),
        ({"insert": "after:graphs:own_stages:Missing"}, "own_stages:Missing cannot be made: AttributeError"),
        ({"insert": "after:graphs:own_stages:Unmakeable"}, "own_stages:Unmakeable cannot be made: RuntimeError: no licence"),
        ({"insert": "after:graphs:own_stages:NoStage"}, "own_stages:NoStage is no stage: it has to have execute(context)"),
        ({"insert": "after:graphs:not-installed"}, "unknown stage 'not-installed'"),
        ({"insert": "after:graphs:graphs"}, "graphs is a stage of the pipeline itself; pipeline.stages says"),
        ({"insert": "before:graphs:own_stages:WindowCount"}, "WindowCount misses its input graphs: graphs, which makes"),
        ({"insert": "after:graphs:own_stages:OfEachVariant"}, "OfEachVariant misses its input gat: gat, which makes"),
        (
            {"insert": ["after:graphs:own_stages:WindowCount", "after:graphs:own_stages:WindowCount"]},
            "the pipeline has a stage WindowCount already",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_runs(settings, said):
    with pytest.raises(ConfigError) as error:
        steps(**settings)
    assert said in str(error.value)


def test_an_unknown_stage_of_the_order_is_named():
    with pytest.raises(ConfigError, match=r"pipeline\.stages\.1"):
        steps(stages="ingest,graph")


GRAPHS = Artifact(kind="graphs", path="/somewhere", digest="d1", summary={"windows": 7})


def inserted(name, folder, artifacts=None):
    step = steps(insert=f"after:graphs:own_stages:{name}").shared[2]
    given = {"graphs": GRAPHS} if artifacts is None else artifacts
    return runs(step.stage)(tiny(), folder, reference=f"own_stages:{name}", of_variant=None, artifacts=given)


def test_a_check_leaves_its_figures(tmp_path):
    made = inserted("WindowCount", tmp_path / "run")
    assert (made.kind, made.path, made.summary, made.stands_for) == ("check", tmp_path / "run", {"windows": 7}, None)


def test_a_stage_takes_the_place_of_another_ones_artifact(tmp_path):
    graphs = GRAPHS.model_copy(update={"path": tmp_path / "graphs"})
    graphs.path.mkdir()
    (graphs.path / "content.txt").write_text("content")
    made = inserted("Relabelled", tmp_path / "run", {"graphs": graphs})
    assert (made.kind, made.path, made.digest) == ("graphs", tmp_path / "run", "d1-relabelled")
    assert (made.path / "content.txt").read_text() == "content"


def test_a_stage_that_has_nothing_to_do_passes_on_what_is_there(tmp_path):
    made = inserted("NothingToDo", tmp_path / "run")
    assert (made.kind, made.digest, made.stands_for) == ("graphs", "d1", GRAPHS)
    config = tiny()
    assert cache_key(build_graphs, config, {"captures": made}) == cache_key(build_graphs, config, {"captures": GRAPHS})


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Silent", 'own_stages:Silent made graphs, and does not say so; write `makes = "graphs"` into its class'),
        ("NoContext", r"own_stages:NoContext returned a str; execute\(context\) has to return the context"),
    ],
)
def test_a_stage_that_breaks_the_contract_is_told_how_to_keep_it(tmp_path, name, said):
    with pytest.raises(StageError, match=said):
        inserted(name, tmp_path / "run")


def test_a_stage_that_writes_elsewhere_is_refused(tmp_path, monkeypatch):
    elsewhere = GRAPHS.model_copy(update={"digest": "d2"})
    monkeypatch.setattr(Relabelled, "execute", lambda self, context: context._replace(artifacts={"graphs": elsewhere}))
    with pytest.raises(StageError, match=r"made graphs in /somewhere; it has to write to context\.folder"):
        inserted("Relabelled", tmp_path / "run")


def test_a_package_checks_its_stage_by_the_contract(tmp_path):
    made = check_stage(WindowCount, tmp_path / "good", {"graphs": GRAPHS}, tiny())
    assert made.summary == {"windows": 7}


@pytest.mark.parametrize(
    ("make", "artifacts", "said"),
    [
        (NoStage, {"graphs": GRAPHS}, "is no stage: it has to have execute"),
        (WindowCount, {}, "needs graphs; give it among `artifacts`"),
        (NoContext, {"graphs": GRAPHS}, "returned a str"),
        (Silent, {"graphs": GRAPHS}, "made graphs, and does not say so"),
        (Undecided, {"graphs": GRAPHS}, "can_skip returned None; it has to return True or False"),
    ],
)
def test_a_stage_that_breaks_the_contract_is_found_by_its_check(tmp_path, make, artifacts, said):
    with pytest.raises(AssertionError, match=said):
        check_stage(make, tmp_path / "bad", artifacts, tiny())


def test_an_edit_of_an_inserted_stage_counts_in_its_cache_key(tmp_path, monkeypatch):
    package = tmp_path / "my_checks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "limits.py").write_text("LEAST = 3\n")
    (package / "checks.py").write_text("from own_stages import WindowCount\n\n\nclass Enough(WindowCount):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)

    def key():
        caching._plugin_sources.cache_clear()
        step = steps(insert="after:graphs:my_checks.checks:Enough").shared[2]
        return cache_key(step.stage, tiny(), {"reference": step.reference, "of_variant": None, "artifacts": {"graphs": GRAPHS}})

    before = key()
    assert key() == before
    (package / "limits.py").write_text("LEAST = 30\n")
    assert key() != before
