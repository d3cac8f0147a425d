import json

import numpy as np
import pytest
import torch
from conftest import PUBLISHED, tiny
from legacy_modules import LegacyGat, LegacyQNetwork, LegacyVgae, randomised

from config.errors import ConfigError
from config.paths import Paths
from kdgat_models.checkpoint import load_checkpoint
from kdgat_models.errors import CheckpointError, SchemaError
from kdgat_models.evaluation.calibration import calibration_windows
from kdgat_models.evaluation.thresholds import EVEN_ODDS, choose_thresholds
from kdgat_models.extraction.extract import extract
from kdgat_models.files import write_json
from kdgat_models.fusion.features import EXTRACTORS
from kdgat_models.networks.vgae import VGAE
from kdgat_models.registry import restore
from tasks.artifact import Artifact, read_artifact
from tasks.plans.training import plan_pipeline
from tasks.records.import_model import ImportRequest, import_model
from tasks.stages.table import build_graphs
from tasks.stages.training import load_teacher


@pytest.fixture(scope="module")
def graphs(published_dataset):
    """The artifact of the published graphs, as a run leaves it."""
    folder = published_dataset.folder
    write_json(folder / "config.json", tiny(**PUBLISHED).model_dump(mode="json"))
    artifact = Artifact(kind="graphs", path=folder, digest="1")
    artifact.publish()
    return artifact


@pytest.fixture
def request_of(tmp_path, graphs):
    """A function that saves a module and gives the request to import it."""

    def saved(module, config, name="model", **more):
        content = module if isinstance(module, dict) else module.state_dict()
        torch.save(content, tmp_path / f"{name}.pth")
        (tmp_path / f"{name}.json").write_text(json.dumps({"dataset": "demo", **config}))
        return ImportRequest(tmp_path / f"{name}.pth", tmp_path / f"{name}.json", **{"graphs": graphs.path, **more})

    return saved


@pytest.fixture
def gat(published_dataset):
    return randomised(LegacyGat(published_dataset.known.num_ids))


def test_thresholds_are_those_of_calibration_windows(request_of, gat, published_dataset, tmp_path):
    made, inputs = import_model(request_of(gat, {"model": "gat"}), Paths(tmp_path / "root"))
    checkpoint = load_checkpoint(made.path, "gat")
    windows = calibration_windows(published_dataset.train)
    scores = extract(restore(checkpoint), EXTRACTORS["gat"], published_dataset.train_data(), windows).scores
    expected = choose_thresholds(scores, published_dataset.train.label[windows], EVEN_ODDS)
    assert checkpoint.decision.thresholds == expected
    assert list(inputs) == ["graphs"]
    assert read_artifact(made.path, "gat") == made
    assert made.path.parent == tmp_path / "root" / "demo" / "gat_large_curriculum"
    assert made.summary["parameters"] == sum(parameter.numel() for parameter in gat.parameters())
    assert (checkpoint.config.method, checkpoint.schema) == ("published", published_dataset.schema)
    assert checkpoint.vocabulary == published_dataset.known


def test_a_student_and_a_distilled_one_lie_where_theirs_lie(request_of, gat, tmp_path):
    paths = Paths(tmp_path / "root")
    student, _ = import_model(request_of(gat, {"model": "gat", "model_size": "student"}), paths)
    distilled, _ = import_model(request_of(gat, {"model": "gat", "model_size": "student", "use_kd": True}), paths)
    assert student.path.parent.name == "gat_small_curriculum"
    assert distilled.path.parent.name == "gat_small_curriculum_kd_standard"


def test_a_vocabulary_of_its_own_gives_the_same_scores(request_of, gat, published_dataset, tmp_path):
    """Rows in another order, and a mapping that says which: nothing changes for the graphs."""
    known = published_dataset.known
    mapping = {str(identifier): len(known.ids) - index for index, identifier in enumerate(known.ids)}
    (tmp_path / "ids.json").write_text(json.dumps({**mapping, "OOV": 0}))
    first, _ = import_model(request_of(gat, {"model": "gat"}), Paths(tmp_path / "a"))
    state = gat.state_dict()
    rows = [0, *range(len(known.ids), 0, -1)]
    state["id_embedding.weight"] = state["id_embedding.weight"][rows]
    second, _ = import_model(request_of(state, {"model": "gat"}, vocabulary=tmp_path / "ids.json"), Paths(tmp_path / "b"))
    checkpoints = [load_checkpoint(artifact.path) for artifact in (first, second)]
    assert checkpoints[0].decision == checkpoints[1].decision
    assert checkpoints[0].vocabulary == checkpoints[1].vocabulary
    assert torch.equal(checkpoints[0].tensors["embedding.weight"], checkpoints[1].tensors["embedding.weight"])


def test_a_fusion_stands_on_the_newest_models_of_its_scale(request_of, gat, published_dataset, tmp_path):
    paths, num_ids = Paths(tmp_path / "root"), published_dataset.known.num_ids
    vgae, _ = import_model(request_of(randomised(LegacyVgae(num_ids)), {"model": "vgae"}), paths)
    import_model(request_of(gat, {"model": "gat"}), paths)
    newest, _ = import_model(request_of(randomised(LegacyGat(num_ids), 4), {"model": "gat"}), paths)
    q = {"q_network": LegacyQNetwork().state_dict(), "target_network": LegacyQNetwork().state_dict()}
    fusion, inputs = import_model(request_of(q, {"model": "fusion"}), paths)
    checkpoint = load_checkpoint(fusion.path, "fusion")
    assert {name: inputs[name].path for name in ("vgae", "gat")} == {"vgae": vgae.path, "gat": newest.path}
    assert checkpoint.provenance.inputs == {"graphs": "1", "vgae": vgae.digest, "gat": newest.digest}
    base = load_checkpoint(newest.path)
    assert checkpoint.decision.scales["gat"].threshold == base.decision.threshold()
    normal = published_dataset.train.windows(2, label=0)
    scores = extract(restore(base), EXTRACTORS["gat"], published_dataset.train_data(), normal).scores
    assert checkpoint.decision.scales["gat"].scale == pytest.approx(float(np.std(scores)))


def test_a_base_that_is_named_is_taken(request_of, gat, published_dataset, tmp_path):
    paths, num_ids = Paths(tmp_path / "root"), published_dataset.known.num_ids
    import_model(request_of(randomised(LegacyVgae(num_ids)), {"model": "vgae"}), paths)
    older, _ = import_model(request_of(gat, {"model": "gat"}), paths)
    import_model(request_of(randomised(LegacyGat(num_ids), 4), {"model": "gat"}), paths)
    q = {"q_network": LegacyQNetwork().state_dict()}
    _, inputs = import_model(request_of(q, {"model": "fusion"}, bases={"gat": older.path}), paths)
    assert inputs["gat"].path == older.path


@pytest.mark.parametrize(
    ("config", "more", "error", "message"),
    [
        ({"model": "vgae"}, {}, CheckpointError, r"holds a gat, and .*model\.json says vgae"),
        ({"model": "gat"}, {"model": "fusion"}, CheckpointError, "holds a gat, and --model says fusion"),
        ({"model": "gat"}, {"dataset": "hcrl"}, ConfigError, "Did you mean hcrl_sa"),
        ({"model": "gat", "dataset": None}, {}, ConfigError, "names no dataset; say which with --dataset"),
        ({"model": "gat", "window_size": 50}, {}, ConfigError, r"preprocessing\.window_size=50, the graphs .* have 100"),
        ({"model": "gat", "gat_heads": 8}, {}, CheckpointError, r"gat\.heads: the config says 8, the tensors 3"),
        ({"model": "gat"}, {"overrides": {"gat.layers": "5"}}, CheckpointError, r"gat\.layers: the config says 5"),
        ({"model_type": "gat", "method": "relative"}, {}, ConfigError, "no config of older code"),
        ({"model": "gat", "gat_speed": 1}, {}, ConfigError, "unknown setting"),
    ],
)
def test_what_contradicts_itself_is_refused_and_leaves_nothing(request_of, gat, tmp_path, config, more, error, message):
    with pytest.raises(error, match=message):
        import_model(request_of(gat, config, **more), Paths(tmp_path / "root"))
    assert not (tmp_path / "root").exists()


def test_graphs_of_another_schema_are_refused(request_of, gat, demo_graphs, tmp_path):
    demo_graphs.publish()
    with pytest.raises(SchemaError, match="another schema than reference"):
        import_model(request_of(gat, {"model": "gat"}, graphs=demo_graphs.path), Paths(tmp_path))


def test_the_newest_graphs_of_the_right_schema_are_found(request_of, gat, graphs, tmp_path):
    paths = Paths(tmp_path / "root")
    family = build_graphs.family(paths, tiny())
    family.mkdir(parents=True)
    (family / "1-aaaaaaaaaa").symlink_to(graphs.path)
    _, inputs = import_model(request_of(gat, {"model": "gat"}, graphs=None), paths)
    assert inputs["graphs"].path == graphs.path.resolve()


def test_without_graphs_it_says_how_to_get_thresholds(request_of, gat, tmp_path):
    with pytest.raises(CheckpointError, match=r"not calibrated: .*`kdgat ingest --dataset demo --set method=published"):
        import_model(request_of(gat, {"model": "gat"}, graphs=None), Paths(tmp_path / "root"))


def test_without_its_base_models_a_fusion_is_refused(request_of, tmp_path):
    q = {"q_network": LegacyQNetwork().state_dict()}
    with pytest.raises(CheckpointError, match=r"not calibrated: a fusion needs the vgae .* --base vgae=FOLDER"):
        import_model(request_of(q, {"model": "fusion"}), Paths(tmp_path / "root"))


def test_an_imported_teacher_is_found_and_teaches(request_of, published_dataset, tmp_path):
    paths = Paths(tmp_path / "root")
    teacher, _ = import_model(request_of(randomised(LegacyVgae(published_dataset.known.num_ids)), {"model": "vgae"}), paths)
    plan = plan_pipeline("demo", paths, variants=["small_kd"], models=["vgae"], overrides={"method": "published"})
    found = plan.variants[0].teachers["vgae"]
    assert found == teacher
    assert load_teacher(found, plan.variants[0].configs["vgae"], published_dataset, VGAE.from_config) is not None
