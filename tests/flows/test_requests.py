"""What is wrong with a request is said before anything starts, in a dry run too. The commands run in this process."""

import json
import os
import shutil
import sys
from collections import namedtuple
from datetime import UTC, datetime

import pytest
from trained import finished

from config.errors import ConfigError, KdgatError
from config.paths import CHECKOUT, Paths
from config.variants import VARIANTS
from flows.cli import main as cli
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import MetricRow, RunRow

Said = namedtuple("Said", "code out err")


@pytest.fixture
def kdgat(tmp_path, monkeypatch, capsys):
    """Run a command below a root; commands point the environment at their root, so it is put back."""
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kdgat", *map(str, arguments), "--root", str(tmp_path / "root")])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Said(ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def refused(kdgat, tmp_path):
    """The message of a command that starts nothing."""

    def run(*arguments):
        said = kdgat(*arguments)
        assert said.code == 1
        assert said.err.startswith("kdgat: ")
        assert "Traceback" not in said.err
        assert not (tmp_path / "root" / "store").exists()
        assert not (tmp_path / "root" / "demo").exists()
        return said.err

    return run


EMPTY = [
    ("run", "--models", ""),
    ("run", "--variants", ""),
    ("run", "--variants", "large,"),
    ("run", "--distillation", ""),
    ("run", "--distillation", "with-kd,,no-kd"),
    ("evaluate", "--variants", ""),
    ("evaluate", "--dataset", ""),
    ("evaluate", "--protocol=official", "--dataset", ""),
    ("ablate", "--factors", ""),
    ("ablate", "--folds", ""),
    ("ablate", "--dataset", ""),
    ("nightly", "--datasets", ""),
]


@pytest.mark.parametrize("arguments", EMPTY)
def test_a_list_with_an_empty_part_is_an_error_that_names_its_option(refused, arguments):
    *_, option, text = arguments
    assert f"{option} {text!r} has an empty part" in refused(*arguments)


@pytest.mark.parametrize("verb", [("run",), ("ingest",), ("evaluate",), ("evaluate", "--protocol", "official")])
def test_a_modality_is_one_that_there_is_and_is_said_once(refused, verb):
    said = refused(*verb, "--modality", "aerospace")
    assert "modality = 'aerospace'" in said
    assert "'automotive'" in said
    assert "--modality is for" in refused(*verb, "--set", "modality=automotive")


DRY = [
    (("--distillation", "with-kd,with-kd,with-kd"), "job 3, fusion + with-kd: fusion cannot be distilled"),
    (
        ("--variants", "large", "--distillation", "with-kd"),
        "--variants large and --distillation with-kd,no-kd,no-kd contradict",
    ),
    (("--distillation", "no-kd,no-kd,no-kd,no-kd"), "4 values of distillation"),
    (("--distillation", "with-kd"), "no teacher for vgae: demo has no finished vgae large"),
    (("--models", "gat", "--distillation", "with-kd"), "no teacher for gat"),
    (
        ("--set", "preprocessing.feature_schema=realtive"),
        "unknown feature schema 'realtive'; there are: relative, reference. Did you mean relative?",
    ),
    (("--set", "gat.network=vgae"), "gat.network = 'vgae' is an autoencoder (built in); gat.network takes a classifier: gat"),
    (("--set", "smal_kd:gat.hidden=8"), "did you mean small_kd?"),
    (("--set", "small_kd:preprocessing.window_size=8"), "all variants of a run share their graphs"),
    (("--variants", "large", "--set", "small_kd:gat.hidden=8"), "small_kd is no part of this run, which has large"),
]


@pytest.mark.parametrize(("arguments", "message"), DRY)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_contradiction_is_said_with_and_without_a_dry_run(refused, arguments, message, dry):
    assert message in refused("run", *arguments, *dry)


def test_a_dry_run_shows_who_teaches_whom(kdgat, tmp_path):
    teacher = finished(tmp_path / "root", "gat")
    said = kdgat("run", "--models", "gat", "--distillation", "with-kd", "--dry-run", "--json")
    stages = {stage["stage"]: stage for stage in json.loads(said.out)["stages"]}
    assert list(stages) == ["ingest", "graphs", "gat", "evaluation"]
    assert (stages["gat"]["variant"], stages["gat"]["teacher"]) == ("small_kd", str(teacher.path))
    along = kdgat("run", "--variants", "large,small_kd,small_nokd", "--models", "vgae", "--dry-run", "--json")
    taught = [(stage["variant"], stage["teacher"]) for stage in json.loads(along.out)["stages"] if stage["stage"] == "vgae"]
    assert taught == [("large", None), ("small_kd", "made by this run"), ("small_nokd", None)]


def test_a_dry_run_prints_how_the_request_was_read(kdgat, tmp_path):
    finished(tmp_path / "root", "vgae")
    said = kdgat("run", "--models", "vgae,gat", "--distillation", "with-kd", "--dry-run", "--json")
    assert said.code == 0
    assert said.err.splitlines() == [
        "kdgat: note: distillation has 1 of 2 values; gat taken as no-kd",
        "kdgat: note: small_kd with distillation with-kd,no-kd is called small_kd_vgae",
    ]
    names = {stage["variant"] for stage in json.loads(said.out)["stages"]} - {None}
    assert names == {"small_kd_vgae"}


def test_a_teacher_that_cannot_teach_is_refused_before_the_first_job(refused, tmp_path):
    folder = finished(tmp_path / "elsewhere", "gat", method="published").path
    message = refused("run", "--models", "gat", "--distillation", "with-kd", "--teacher", f"gat={folder}", "--dry-run")
    assert "its method is published, this run's is relative" in message


@pytest.fixture
def data(tmp_path, demo_csv):
    """Captures of one's own."""
    shutil.copytree(demo_csv, tmp_path / "data")
    return tmp_path / "data"


def test_captures_are_opened_before_anything_starts(refused, data):
    capture = data / "train_01_attack_free" / "attack-free-alpha.csv"
    for verb in (("run", "--dry-run"), ("run",), ("ingest",)):
        capture.write_text("")
        assert "attack-free-alpha.csv is empty; expected a capture" in refused(*verb, "--data-dir", data)
        capture.write_text("id;data\n1;2\n")
        assert "attack-free-alpha.csv line 1 is 'id;data': not a known capture format" in refused(*verb, "--data-dir", data)
    capture.rename(capture.with_suffix(".csv.gz"))
    assert "attack-free-alpha.csv.gz cannot be read to its end" in refused("run", "--dry-run", "--data-dir", data)


def test_a_gpu_that_is_not_there_is_missed_before_anything_starts(refused, kdgat, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    asked = ("run", "--variants", "large", "--set", "large:training.device=cuda", "--dry-run")
    assert "training.device=cuda, and this machine has no GPU" in refused(*asked)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert kdgat(*asked).code == 0


def test_what_nodes_of_a_cluster_have_is_not_asked_here(tmp_path, monkeypatch):
    import torch

    from tasks.plans.checks import RunRequest, planned_run

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    request = RunRequest("demo", variants=["large"], overrides={"training.device": "cuda"}, runner="slurm:v100")
    assert planned_run(request, Paths(tmp_path)).variants[0].configs["gat"].training.device == "cuda"


def test_a_disk_without_room_is_found_before_anything_starts(refused, data, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, 30 * 2**20))
    message = refused("run", "--dry-run", "--data-dir", data)
    assert "has 30 MB left, and the run needs at least 1" in message
    assert "choose another folder with --root" in message


def test_space_is_asked_for_by_what_the_captures_will_become(data, tmp_path, monkeypatch):
    from tasks.plans.checks import check_captures, check_disk

    usage, paths = namedtuple("usage", "total used free"), Paths(tmp_path / "root")
    found = check_captures("demo", data, paths)
    size = sum(file.stat().st_size for file in data.rglob("*.csv"))
    enough = 100 * 2**20 + size
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, enough))
    check_disk("demo", found, paths)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(0, 0, enough - 2**16))
    with pytest.raises(ConfigError, match="make room"):
        check_disk("demo", found, paths)
    (paths.root / "demo" / "graphs" / "version").mkdir(parents=True)
    check_disk("demo", found, paths)


@pytest.mark.parametrize("verb", ["leaderboard", "runs"])
def test_a_dataset_that_nobody_knows_is_an_error_and_one_that_has_runs_is_none(kdgat, tmp_path, verb):
    store = RunStore(Paths(tmp_path / "root").store)
    run = {"run_id": "r", "pipeline_run": "p", "dataset": "own"}
    store.write(MetricRow, "r", [MetricRow(**run, name="f1", value=0.5)])
    store.write_run("start", RunRow(**run, attempt=1, started_at=datetime(2026, 1, 1, tzinfo=UTC)))
    said = kdgat(verb, "--dataset", "hcrl")
    assert (said.code, said.out) == (1, "")
    assert "unknown dataset 'hcrl'; there are: demo, " in said.err
    assert "own. Did you mean hcrl_sa?" in said.err
    assert kdgat(verb, "--dataset", "hcrl_sa").code == 0
    assert kdgat(verb, "--dataset", "own").code == 0


def test_runs_of_a_protocol_can_be_chosen(kdgat, tmp_path):
    store = RunStore(Paths(tmp_path / "root").store)
    for number, protocol in enumerate((None, "official", "cross-dataset")):
        run = {"run_id": f"r{number}", "pipeline_run": "p", "dataset": "demo", "attempt": 1, "protocol": protocol}
        store.write_run("start", RunRow(**run, started_at=datetime(2026, 1, 1, number, tzinfo=UTC)))
    shown = [row["protocol"] for row in json.loads(kdgat("runs", "--dataset", "demo", "--json").out)]
    assert shown == [None, "official", "cross-dataset"]
    assert [row["protocol"] for row in json.loads(kdgat("runs", "--protocol", "official", "--json").out)] == ["official"]
    assert "Did you mean official?" in kdgat("runs", "--protocol", "oficial").err


def test_the_fusion_may_be_called_as_it_was(kdgat):
    said = kdgat("run", "--dry-run", "--models", "vgae,gat,dqn", "--variants", "large", "--json")
    assert [stage["stage"] for stage in json.loads(said.out)["stages"]].count("fusion") == 1


def test_help_names_all_variants_and_models_of_a_list(kdgat, monkeypatch):
    monkeypatch.setenv("COLUMNS", "4000")
    monkeypatch.setenv("TERMINAL_WIDTH", "4000")
    for verb in (("run",), ("evaluate",), ("champion", "register")):
        text = kdgat(*verb, "--help").out
        assert [name for name in VARIANTS if name not in text] == []
    assert "[VARIANT:]NAME=VALUE" in kdgat("run", "--help").out


PAGE = (CHECKOUT / "docs" / "distillation.md").read_text()


def test_the_page_about_distillation_lists_the_variants_as_they_are():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("| `")]
    listed = {}
    for names, scales, distilled in rows:
        for name, scale in zip(names.split(", "), scales.split(", "), strict=True):
            listed[name.strip("`")] = (scale, distilled)
    words = {(): "nothing", ("vgae",): "vgae", ("gat",): "gat", ("vgae", "gat"): "vgae and gat"}
    assert listed.keys() == VARIANTS.keys()
    for name, variant in VARIANTS.items():
        assert listed[name][0] == variant.scale
        assert listed[name][1].partition(":")[0] == words[variant.distilled]


def test_the_commands_of_the_page_make_what_their_comments_say(kdgat, tmp_path):
    finished(tmp_path / "root", "vgae"), finished(tmp_path / "root", "gat")
    made = []
    for line in (line for line in PAGE.splitlines() if line.startswith("kdgat run ")):
        said = kdgat(*line.partition("#")[0].split()[1:], "--dry-run", "--json")
        made.append(
            {(stage["variant"], stage["stage"]): stage["teacher"] is not None for stage in json.loads(said.out)["stages"]}
        )
    trained = [{key: taught for key, taught in each.items() if key[1] in ("vgae", "gat", "fusion")} for each in made]
    assert trained[0] == {("small_kd", "gat"): True}
    assert trained[1] == {("small_kd_vgae", "vgae"): True, ("small_kd_vgae", "gat"): False}
    assert trained[2] == {
        **{("large", stage): False for stage in ("vgae", "gat", "fusion")},
        ("small_kd_vgae", "vgae"): True,
        ("small_kd_vgae", "gat"): False,
        ("small_kd_vgae", "fusion"): False,
    }


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"distillation": ("with-kd", "with-kd", "with-kd")}, r"^job 3, fusion \+ with-kd"),
        ({"variants": ("large",), "distillation": ("with-kd",)}, "contradict each other"),
        ({"models": ("gat",), "variants": ("small_kd",), "distillation": ("with-kd",)}, "no teacher for gat"),
        ({"overrides": {"smal_kd:gat.hidden": 8}}, r"did you mean small_kd\?"),
    ],
)
def test_the_flow_reads_its_parameters_as_the_command_does(tmp_path, monkeypatch, asked, message):
    from flows.train_pipeline import train_pipeline

    monkeypatch.setenv("KDGAT_ROOT", str(tmp_path))
    with pytest.raises(KdgatError, match=message):
        train_pipeline.fn(dataset="demo", **asked)


def test_command_and_form_explain_the_list_of_distillation_alike(kdgat, monkeypatch):
    from flows.train_pipeline import train_pipeline

    monkeypatch.setenv("TERMINAL_WIDTH", "4000")
    properties = train_pipeline.parameters.model_dump()["properties"]
    rule = "in the same order; a shorter list is padded with no-kd. with-kd needs a teacher; fusion cannot have one."
    assert rule in " ".join(properties["distillation"]["description"].split())
    assert rule in " ".join(kdgat("run", "--help").out.replace("│", " ").split())


def test_a_list_that_is_given_to_a_flow_and_empty_is_an_error_too(tmp_path):
    from tasks.plans.ablation import plan_ablation
    from tasks.plans.nightly import datasets_of_tonight
    from tasks.plans.protocol import plan_protocol

    paths = Paths(tmp_path)
    with pytest.raises(ConfigError, match="no dataset is given"):
        plan_protocol("official", None, (), {}, paths)
    with pytest.raises(ConfigError, match="no dataset is given"):
        plan_ablation("official", None, [], None, {}, paths)
    with pytest.raises(ConfigError, match="no dataset is given to re-evaluate on"):
        datasets_of_tonight([], None, [])
