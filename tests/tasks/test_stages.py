"""The contract of every stage: each is run once, tiny, on what those before it have made."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from conftest import tiny
from stage_runs import runs

from config import resolve
from config.paths import Paths
from kdgat_models.can.simulate import write_demo
from kdgat_models.evaluation.protocols.registry import make_folds
from tasks.artifact import Artifact, read_artifact
from tasks.plans.protocol import fold_artifact
from tasks.raw import raw_artifact
from tasks.stage import submitting_to
from tasks.stages.reports import capture_facts
from tasks.stages.table import STAGES, build_graphs, evaluate_models, ingest_captures, train_fusion, train_gat, train_vgae

SHORT = {"training.max_epochs": 1, "training.min_steps_per_epoch": 1, "fusion.max_epochs": 1, "fusion.steps_per_epoch": 2}
PROTOCOL = "official"
OF_PROTOCOL = {"pool", "trial", "protocol", "ablation_score", "ablation"}


class Made(dict):
    """What was made so far, by stage: each thing is made when it is first asked for."""

    def __init__(self, root):
        self.root = root

    def __missing__(self, name):
        self[name] = self.raw() if name == "raw" else self.fold() if name == "fold" else self.run(name)
        return self[name]

    def run(self, name):
        of_protocol = {"protocol": PROTOCOL} if name in OF_PROTOCOL else {}
        config = tiny(name if name in ("vgae", "gat") else "fusion", **SHORT, **of_protocol)
        return runs(STAGES[name])(config, self.root / name, **INPUTS[name](self))

    def raw(self):
        write_demo(self.root / "raw" / "demo", seconds_scale=0.25)
        return raw_artifact("demo", self.root / "raw" / "demo")

    def fold(self):
        first = make_folds(PROTOCOL, capture_facts(self["pool"].path))[0]
        return fold_artifact(PROTOCOL, first, self["pool"], Paths(self.root))


# Stage -> its inputs, out of what was made before.
INPUTS: dict[str, Callable[[Made], dict[str, object]]] = {
    "ingest": lambda made: {"raw": made["raw"], "on_bad_rows": "error"},
    "graphs": lambda made: {"captures": made["ingest"]},
    "vgae": lambda made: {"graphs": made["graphs"], "teacher": None},
    "gat": lambda made: {"graphs": made["graphs"], "vgae": None, "teacher": None},
    "fusion": lambda made: {"graphs": made["graphs"], "vgae": made["vgae"], "gat": made["gat"]},
    "evaluation": lambda made: {
        **{name: made[name] for name in ("graphs", "vgae", "gat", "fusion")},
        "label": "large",
    },
    "drift": lambda made: {"trained_on": made["graphs"], "graphs": made["graphs"]},
    "pool": lambda made: {"captures": [made["ingest"]], "datasets": ["demo"]},
    "trial": lambda made: {
        "graphs": made["fold"],
        "published_graphs": None,
        "models": {"teacher": made["gat"], "vgae": made["vgae"]},
        "published": {},
    },
    "protocol": lambda made: {"pool": made["pool"], "trials": [made["trial"]]},
    "ablation_score": lambda made: {"graphs": made["fold"], "gat": made["gat"], "vgae": None, "fusion": None},
    "ablation": lambda made: {
        "table": {"node_head": {"on": "base", "off": "node_head=off"}},
        "scores": {"base": [made["ablation_score"]], "node_head=off": [made["ablation_score"]]},
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return Made(tmp_path_factory.mktemp("stages"))


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_makes_what_its_record_says(made, name):
    stage, artifact = STAGES[name], made[name]
    assert artifact.kind == stage.makes
    assert artifact.path == made.root / name
    assert artifact.digest
    assert json.loads(json.dumps(artifact.summary)) == artifact.summary
    assert (artifact.path / "epochs.json").exists() == stage.trains
    artifact.publish()
    assert read_artifact(artifact.path, stage.makes).digest == artifact.digest


def test_what_a_stage_makes_lies_below_its_dataset_by_model_scale_and_auxiliary(tmp_path):
    paths = Paths(tmp_path)
    assert ingest_captures.family(paths, resolve("vgae", "large")) == tmp_path / "demo" / "captures"
    assert train_vgae.family(paths, resolve("vgae", "large")) == tmp_path / "demo" / "vgae_large_autoencoder"
    assert train_gat.family(paths, resolve("gat", "tiny", "kd_standard")).name == "gat_tiny_balanced_kd_standard"
    published = resolve("gat", "small", "kd_standard", method="published")
    assert train_gat.family(paths, published).name == "gat_small_curriculum_kd_standard"
    assert train_fusion.family(paths, resolve("fusion", "large")).name == "fusion_large_dqn"


def test_the_run_store_calls_a_stage_by_what_it_does():
    config = resolve("gat", "large", **{"fusion.method": "mlp"})
    labels = {name: stage.label(config) for name, stage in STAGES.items()}
    assert labels == {name: name for name in STAGES} | {"vgae": "autoencoder", "gat": "balanced", "fusion": "mlp"}


def test_a_stage_asks_for_the_memory_that_the_config_says_or_for_its_own():
    config = resolve("gat", "large", **{"resources.memory_gb.gat": 1.5})
    assert train_gat.memory_mb(config) == 1536
    assert build_graphs.memory_mb(config) == 3072


def test_only_what_is_trained_from_a_teacher_has_two_models_in_memory():
    student, alone = resolve("gat", "small", "kd_standard"), resolve("gat", "small")
    assert train_gat.distils(student)
    assert not train_gat.distils(alone)
    assert not evaluate_models.distils(student)


class Keeper:
    """Keeps what was submitted to it."""

    def submit(self, stage, config, variant, inputs):
        self.kept = (stage, config, variant, inputs)
        return "a future"


def test_a_stage_is_submitted_with_the_names_and_defaults_of_its_body():
    keeper, config = Keeper(), tiny("fusion")
    artifact = Artifact(kind="graphs", path="/somewhere", digest="d")
    with submitting_to(keeper):
        future = evaluate_models.submit(config, "large", label="large", graphs=artifact, vgae=None, gat=None, fusion=None)
        with pytest.raises(TypeError, match="missing a required argument: 'captures'"):
            build_graphs.submit(config)
    assert future == "a future"
    inputs = {"label": "large", "graphs": artifact, "vgae": None, "gat": None, "fusion": None, "occasion": "training"}
    assert keeper.kept == (evaluate_models, config, "large", inputs)


def test_outside_of_a_flow_there_is_nobody_to_submit_to():
    with pytest.raises(RuntimeError, match="graphs was submitted outside of a flow"):
        build_graphs.submit(tiny(), captures=Artifact(kind="captures", path="/somewhere", digest="d"))


def test_whoever_only_wants_to_know_the_stages_waits_for_no_heavy_library():
    heavy = ("torch", "torch_geometric", "numpy", "polars", "pyarrow", "numba", "prefect")
    script = f"import sys, tasks.stages.table\nprint([name for name in {heavy!r} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout == "[]\n"
