"""What the cache key of a stage depends on, and what it does not."""

import re
from importlib.metadata import version
from uuid import uuid4

import pytest
from conftest import tiny
from prefect import Task
from prefect.client.schemas import TaskRun
from prefect.context import TaskRunContext
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings

from config.catalog import DatasetEntry, catalog
from config.paths import DAMAGED
from config.schema import PipelineConfig
from tasks import caching
from tasks.artifact import Artifact
from tasks.caching import cache_key, code_version
from tasks.execution.cache import stage_cache_policy
from tasks.records.damage import pointer
from tasks.stages.table import STAGES, train_gat, train_vgae

TRAINED = {"vgae", "gat", "fusion"}
# One change in each section of the config, and the stages that read it.
CHANGES = {
    "modality": ("industrial", set()),
    "protocol": ("official", {"protocol", "ablation"}),
    "method": ("published", set()),  # its settings are those of the sections
    "seed": (9, {*TRAINED, "trial", "ablation_score"}),
    "preprocessing": ({"gap_windows": 3}, {"graphs", "pool", "protocol"}),
    "augmentation": ({"copies": 3}, {"graphs", "pool"}),
    "identity": ({"buckets": 77}, TRAINED),
    "vgae": ({"kl_weight": 0.5}, {"vgae"}),
    "gat": ({"dropout": 0.5}, {"gat"}),
    "dqn": ({"gamma": 0.25}, {"fusion"}),
    "auxiliary": ({"alpha": 0.5}, TRAINED),
    "training": ({"gradient_clip": 9.0}, TRAINED),
    "curriculum": ({"windows_per_epoch": 300}, {"vgae", "gat"}),
    "loss": ({"name": "focal"}, {"gat"}),
    "fusion": ({"max_epochs": 4}, {"fusion"}),
    "decision": ({"rule": "fpr_0.001"}, {"fusion", "evaluation", "protocol", "ablation_score"}),
    "resources": ({"cap_gb": 9.0}, set()),
    "pipeline": ({"hook_seconds": 1.0}, set()),  # what is inserted counts by what it makes
    "hooks": (("some_package:some_hook",), set()),
}
OF_NO_SECTION = {"dataset", "model_type", "scale"}


def artifact(digest, kind="graphs", path="/somewhere"):
    return Artifact(kind=kind, path=path, digest=digest)


GRAPHS = artifact("d1")


def changed(config, section, value):
    part = getattr(config, section)
    return config.model_copy(update={section: part.model_copy(update=value) if isinstance(value, dict) else value})


def key(stage, config=None, **inputs):
    return cache_key(STAGES[stage], config or tiny(), inputs or {"graphs": GRAPHS})


def test_every_section_of_the_config_is_tried():
    assert set(CHANGES) == set(PipelineConfig.model_fields) - OF_NO_SECTION


@pytest.mark.parametrize("section", CHANGES)
def test_a_section_counts_for_the_stages_that_read_it_and_for_no_other(section):
    value, readers = CHANGES[section]
    other = changed(tiny(), section, value)
    assert other != tiny()
    assert {stage for stage in STAGES if key(stage) != key(stage, other)} == readers


@pytest.mark.parametrize("stage", STAGES)
def test_the_dataset_counts_everywhere_and_the_model_where_there_is_one(stage):
    assert key(stage, tiny(dataset="hcrl_sa")) != key(stage)
    shared = STAGES[stage].shared
    config = tiny()
    assert (key(stage, config.model_copy(update={"scale": "small"})) == key(stage)) == shared
    assert (key(stage, config.model_copy(update={"model_type": "gat"})) == key(stage)) == shared


@pytest.mark.parametrize(
    ("field", "value", "counts"),
    [
        ("splits", {"train_01_attack_free": {"role": "train"}}, True),
        ("readers", ("hcrl_text",), True),
        ("vehicles", {"*": "kia"}, True),
        ("source", "elsewhere", False),
        ("licence", "MIT", False),
        ("resources", {"memory_gb": {"graphs": 9.0}}, False),
    ],
)
def test_the_catalogue_counts_for_the_stages_that_read_it(monkeypatch, field, value, counts):
    before = {stage: key(stage) for stage in STAGES}
    entry = DatasetEntry.model_validate(catalog()["demo"].model_dump() | {field: value})
    monkeypatch.setitem(catalog(), "demo", entry)
    readers = {"ingest", "graphs", "pool"}
    assert {stage for stage in STAGES if key(stage) != before[stage]} == (readers if counts else set())


def test_the_catalogue_counts_for_every_dataset_of_a_pool(monkeypatch):
    def pool():
        return key("pool", captures=[GRAPHS], datasets=["set_01", "hcrl_sa"])

    before = pool()
    changed = catalog()["hcrl_sa"].model_copy(update={"vehicles": {"*": "kia"}})
    monkeypatch.setitem(catalog(), "hcrl_sa", changed)
    assert pool() != before


def test_protocols_share_pools_of_the_same_datasets_and_no_reports():
    first, second = (tiny(protocol=name, dataset="set_01+hcrl_sa") for name in ("official", "leave-one-vehicle-out"))
    given = {"captures": [GRAPHS], "datasets": ["set_01", "hcrl_sa"]}
    assert key("pool", first, **given) == key("pool", second, **given)
    assert key("vgae", first) == key("vgae", second)
    assert {stage for stage in STAGES if key(stage, first) != key(stage, second)} == {"protocol", "ablation"}


def test_shared_stages_are_those_that_know_no_model():
    assert {name for name, stage in STAGES.items() if stage.shared} == {"ingest", "graphs", "pool", "protocol", "ablation"}


def test_two_stages_never_share_a_key():
    assert len({key(stage) for stage in STAGES}) == len(STAGES)


def test_a_key_is_the_same_in_every_run_and_a_plain_file_name():
    assert key("vgae") == key("vgae", tiny())
    assert re.fullmatch("[0-9a-f]{16,}", key("vgae"))


def test_inputs_count_by_name_and_by_content_not_by_place_or_order():
    first, second = artifact("d1"), artifact("d2")
    assert key("fusion", vgae=first, gat=second) == key("fusion", gat=second, vgae=first)
    assert key("fusion", vgae=first, gat=second) != key("fusion", vgae=second, gat=first)
    assert key("fusion", vgae=first) != key("fusion", gat=first)
    assert key("fusion", vgae=first, gat=None) != key("fusion", vgae=first)
    assert key("fusion", vgae=artifact("d1", path="/elsewhere")) == key("fusion", vgae=first)
    assert key("graphs", quarantine="error") != key("graphs", quarantine="keep")


def test_inputs_in_lists_and_by_name_count_one_by_one():
    first, second, moved = artifact("d1"), artifact("d2"), artifact("d1", path="/elsewhere")
    assert key("pool", graphs=[first, second]) == key("pool", graphs=(moved, second))
    assert key("pool", graphs=[first, second]) != key("pool", graphs=[second, first])
    assert key("pool", graphs=[first, second]) != key("pool", graphs=[first])
    assert key("pool", graphs={"a": first, "b": [second]}) == key("pool", graphs={"b": [second], "a": moved})
    assert key("pool", graphs={"a": first, "b": [second]}) != key("pool", graphs={"a": first, "b": [first]})
    assert key("pool", graphs={"a": first}) != key("pool", graphs={"b": first})


@pytest.mark.parametrize("library", ["torch", "torch-geometric", "numba", "polars", "scikit-learn"])
def test_another_version_of_a_library_that_computes_counts(monkeypatch, library):
    before = key("vgae")
    monkeypatch.setattr(caching, "version", lambda name: "0.0" if name == library else version(name))
    assert key("vgae") != before


def test_another_version_of_the_code_counts(monkeypatch):
    before = {stage: key(stage) for stage in STAGES}
    monkeypatch.setattr(
        caching, "code_version", lambda stage, found: "other" if stage is train_gat else code_version(stage, found)
    )
    assert {stage for stage in STAGES if key(stage) != before[stage]} == {"gat"}


@pytest.fixture
def small_checkout(tmp_path, monkeypatch):
    """A stage that reaches a module by each way of importing, and modules that it does not reach."""
    files = {
        "tasks/stages/vgae.py": "import kdgat_models.plain\nfrom kdgat_models import named\n"
        "from kdgat_models.package import thing\nfrom tasks.artifact import Artifact\nfrom tasks.stages import reports\n"
        "from tasks.caching import cached\nfrom . import beside\n",
        "tasks/stages/reports.py": "",
        "tasks/stages/other.py": "",
        "kdgat_models/plain.py": "import json, torch\n",
        "kdgat_models/named.py": "def later():\n    from kdgat_models.indirect import x\n",
        "kdgat_models/indirect.py": "import kdgat_models.plain\n",
        "kdgat_models/package/__init__.py": "thing = 1\n",
        "kdgat_models/unused.py": "",
        "tasks/artifact.py": "",
        "tasks/caching.py": "",
        "torch.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(caching, "CHECKOUT", tmp_path)
    caching.sources.cache_clear()
    yield tmp_path
    caching.sources.cache_clear()


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("tasks/stages/vgae.py", True),
        ("kdgat_models/plain.py", True),
        ("kdgat_models/named.py", True),
        ("kdgat_models/indirect.py", True),
        ("kdgat_models/package/__init__.py", True),
        ("kdgat_models/unused.py", False),
        ("tasks/artifact.py", True),
        ("tasks/stages/reports.py", True),
        ("tasks/stages/other.py", False),
        ("tasks/caching.py", False),
        ("torch.py", False),
    ],
)
def test_the_code_of_a_stage_is_all_of_ours_that_it_reaches(small_checkout, file, counts):
    before = code_version(train_vgae)
    with (small_checkout / file).open("a") as source:
        source.write("# changed\n")
    caching.sources.cache_clear()
    assert (code_version(train_vgae) != before) == counts


def test_code_that_moves_between_modules_counts(small_checkout):
    before = code_version(train_vgae)
    plain, named = small_checkout / "kdgat_models/plain.py", small_checkout / "kdgat_models/named.py"
    first, second = plain.read_text(), named.read_text()
    plain.write_text(second)
    named.write_text(first)
    caching.sources.cache_clear()
    assert code_version(train_vgae) != before


def test_a_module_of_another_name_with_the_same_text_is_other_code(small_checkout):
    before = code_version(train_vgae)
    (small_checkout / "kdgat_models/plain.py").rename(small_checkout / "kdgat_models/plainer.py")
    stage = small_checkout / "tasks/stages/vgae.py"
    stage.write_text(stage.read_text().replace("kdgat_models.plain", "kdgat_models.plainer"))
    caching.sources.cache_clear()
    assert code_version(train_vgae) != before


def test_an_artifact_that_is_damaged_is_said_in_the_log_of_the_task_whose_key_is_asked_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path))
    made = tmp_path / "demo" / "gat_large_balanced" / "20260101T000000-0000000000"
    made.mkdir(parents=True)
    (made / "content.txt").write_text("as it was")
    artifact(digest="d2", kind="gat", path=made).publish()
    (made / "content.txt").write_text("and as it is")
    expected = cache_key(train_gat, tiny("gat"), {"graphs": GRAPHS})
    mark = pointer(tmp_path / "cache", expected)
    mark.parent.mkdir(parents=True)
    mark.write_text(str(made))
    run = TaskRun(task_key="gat-1", dynamic_key="1", flow_run_id=uuid4(), name="gat of large 100%")
    context = TaskRunContext.model_construct(task_run=run, task=Task(lambda: None, name="gat"), start_time=None)
    with caplog.at_level("WARNING"), temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}):
        assert (
            stage_cache_policy(train_gat).compute_key(context, {"config": tiny("gat"), "inputs": {"graphs": GRAPHS}}, {})
            == expected
        )
    (record,) = caplog.records
    assert (record.levelname, record.task_run_id) == ("WARNING", str(run.id))
    assert record.getMessage().startswith(f"{made.relative_to(tmp_path)} is damaged: content.txt ")
    assert (made / DAMAGED).exists()


def test_prefect_asks_for_that_key_of_a_tasks_inputs(tmp_path, monkeypatch):
    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path))
    policy = stage_cache_policy(train_gat)
    parameters = {"config": tiny("gat"), "variant": "large", "inputs": {"graphs": GRAPHS, "teacher": None}}
    expected = cache_key(train_gat, tiny("gat"), {"graphs": GRAPHS, "teacher": None})
    assert policy.compute_key(None, parameters, {}) == expected
    assert policy.compute_key(None, {**parameters, "variant": "other"}, {}) == expected
    assert policy.compute_key(None, {**parameters, "inputs": {"graphs": GRAPHS, "teacher": GRAPHS}}, {}) != expected
    assert policy.key_storage == tmp_path / "cache" / "records"
    assert policy.lock_manager.folder == tmp_path / "cache" / "locks"
    assert policy.isolation_level.name == "SERIALIZABLE"
