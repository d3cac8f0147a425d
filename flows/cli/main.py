"""The `kdgat` command."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from config.catalog import NAMED
from config.errors import KdgatError
from config.legacy import current_model_type
from config.overrides import parse_overrides
from config.paths import Paths, default_root
from config.plugins import names
from config.resolver import resolve
from config.variants import DEFAULT_VARIANTS, MEANINGS
from flows.cli import (
    ablation,
    bundle,
    cache,
    champions,
    cluster,
    datasets,
    detect,
    import_model,
    learn,
    lists,
    plugins,
    serve,
    stability,
)
from flows.cli.ending import ENDING
from flows.cli.options import (
    MODALITY,
    AimedSetOption,
    BadRows,
    DataDir,
    Dataset,
    Json,
    Modality,
    OnBadRows,
    Root,
    Runner,
    SetOption,
    listed,
    named_folders,
    prepare,
    say,
    start_flow,
    with_modality,
)
from flows.cli.protocol import evaluate as evaluate_protocol
from flows.cli.results import print_results
from flows.cli.show import plain, show, table
from tasks.execution.runner import check_runner
from tasks.plans.distillation import default_variants

HELP = (
    "Train, distil and evaluate intrusion detectors for CAN buses.\n\n"
    "`kdgat run --modality automotive` runs everything on a simulated dataset. For recorded traffic: "
    "`kdgat run --modality automotive --dataset hcrl_sa --data-dir DIR`, where DIR/hcrl_sa/SPLIT/*.csv are the captures."
)
app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(help=HELP)
def common(
    catalogue: Annotated[
        Path | None,
        typer.Option(
            "--catalog", help="File with datasets of your own; datasets.yaml in the root is read without it.", dir_okay=False
        ),
    ] = None,
) -> None:
    """Options of all commands; the catalogue is passed on in the environment, to the stages' processes too."""
    if catalogue is not None:
        os.environ[NAMED] = str(catalogue.expanduser().resolve())


@app.command()
def run(
    dataset: Dataset = "demo",
    data_dir: DataDir = None,
    modality: Modality = MODALITY,
    variants: Annotated[
        str | None,
        typer.Option(
            help=f"Comma-separated: {MEANINGS}. Default: {','.join(DEFAULT_VARIANTS)}, or small_kd with --distillation.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[str, typer.Option(help="Comma-separated models to train.")] = "vgae,gat,fusion",
    distillation: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: with-kd or no-kd for each of --models, in the same order; a shorter list is padded with "
            "no-kd. with-kd needs a teacher; fusion cannot have one. Default: whatever can be distilled in a _kd variant is.",
            show_default=False,
        ),
    ] = None,
    teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=FOLDER", help="Run folder of a teacher; by default the newest large one that can teach."),
    ] = None,
    overrides: AimedSetOption = None,
    on_bad_rows: BadRows = OnBadRows.error,
    runner: Runner = "local",
    seed: Annotated[int, typer.Option(help="Seed of everything that is random.", min=0)] = 0,
    register: Annotated[bool, typer.Option("--register", help="Make the evaluated models champions.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, submit nothing.")] = False,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Run the pipeline: ingest, graphs, teachers, students, fusion, evaluation.

    What has been computed before is not computed again; a run that was interrupted goes on where it stopped.
    """
    settings = with_modality(parse_overrides(overrides or [], aimed=True), modality)
    asked_distillation, asked_variants = listed("--distillation", distillation), listed("--variants", variants)
    parameters: dict[str, Any] = {
        "dataset": dataset,
        "data_dir": data_dir,
        "variants": asked_variants or default_variants(asked_distillation),
        "models": list(map(current_model_type, listed("--models", models) or ())),
        "distillation": asked_distillation,
        "teachers": named_folders("--teacher", teacher or []) or None,
        "overrides": settings,
        "seed": seed,
        "on_bad_rows": on_bad_rows.value,
        "as_champions": register,
        "runner": runner,
    }
    prepare(root)
    check_runner(runner)
    from tasks.plans.checks import RunRequest, planned_run
    from tasks.plans.training import all_settings

    # Everything that can be wrong with a request is said before anything is started.
    same = {name: parameters[name] for name in RunRequest._fields if name in parameters}
    plan = planned_run(RunRequest(**{**same, "overrides": all_settings(settings, seed, None)}), Paths(default_root()))
    if dry_run:
        say(plan.notes)
        cluster.print_preview(plan, data_dir, on_bad_rows.value, runner, as_json)
        return
    evaluations = start_flow("train_pipeline", "train_pipeline", parameters, as_json)
    print_results(evaluations, as_json)


@app.command()
def ingest(
    dataset: Dataset = "demo",
    data_dir: DataDir = None,
    modality: Modality = MODALITY,
    overrides: SetOption = None,
    on_bad_rows: BadRows = OnBadRows.error,
    runner: Runner = "local",
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Validate the captures of a dataset, write them as Parquet, build the graphs."""
    settings = with_modality(parse_overrides(overrides or []), modality)
    resolve("vgae", "large", **settings)
    prepare(root)
    check_runner(runner)
    from tasks.plans.checks import check_captures, check_disk

    paths = Paths(default_root())
    check_disk(dataset, check_captures(dataset, data_dir, paths), paths)
    parameters = {
        "dataset": dataset,
        "data_dir": data_dir,
        "overrides": settings,
        "on_bad_rows": on_bad_rows.value,
        "runner": runner,
    }
    made = start_flow("ingest_dataset", "ingest_dataset", parameters, as_json)
    rows = [{"made": artifact.kind, **artifact.summary, "path": str(artifact.path)} for artifact in made]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            show(table(row["made"], [{"": name, "value": plain(value)} for name, value in row.items() if name != "made"]))


@app.command()
def evaluate(
    dataset: Annotated[
        str | None, typer.Option(help="Name in the catalogue; several, comma-separated, with --protocol. Default: demo.")
    ] = None,
    data_dir: DataDir = None,
    modality: Modality = MODALITY,
    protocol: Annotated[
        str | None,
        typer.Option(help=f"Train and test by a protocol instead: {', '.join(names('protocols'))}."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Of a protocol: how many seeds, 0, 1, ...", min=1)] = 3,
    variants: Annotated[
        str | None, typer.Option(help=f"Comma-separated: {MEANINGS}. Default: all that are trained.", show_default=False)
    ] = None,
    overrides: AimedSetOption = None,
    on_bad_rows: BadRows = OnBadRows.error,
    runner: Runner = "local",
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Evaluate the newest trained models on the test splits that are on disk now, or all detectors by a protocol."""
    settings = with_modality(parse_overrides(overrides or [], aimed=protocol is None), modality)
    asked_variants, datasets = listed("--variants", variants), listed("--dataset", dataset)
    prepare(root)
    check_runner(runner)
    if protocol:
        asked = {"protocol": protocol, "data_dir": data_dir, "datasets": datasets}
        evaluate_protocol({**asked, "overrides": settings, "on_bad_rows": on_bad_rows.value, "runner": runner}, seeds, as_json)
        return
    dataset = dataset or "demo"
    from tasks.plans.checks import check_captures
    from tasks.plans.training import plan_evaluation

    plan_evaluation(dataset, Paths(default_root()), variants=asked_variants, overrides=settings)
    check_captures(dataset, data_dir, Paths(default_root()))
    parameters = {
        "dataset": dataset,
        "data_dir": data_dir,
        "variants": asked_variants,
        "overrides": settings,
        "on_bad_rows": on_bad_rows.value,
        "runner": runner,
    }
    print_results(start_flow("evaluate_dataset", "evaluate_dataset", parameters, as_json), as_json)


for command in (lists.models, lists.leaderboard, lists.runs, lists.memory):
    app.command()(command)
app.command()(import_model.import_model)
app.command()(bundle.bundle)
app.command()(detect.detect)
app.command()(learn.learn)
app.command()(ablation.ablate)
app.command()(stability.stability)
app.command()(plugins.plugins)
app.add_typer(datasets.app, name="datasets")
app.add_typer(cluster.app, name="cluster")
app.add_typer(cache.app, name="cache")
app.add_typer(champions.app, name="champion")
app.command()(champions.nightly)
app.command()(serve.serve)


def main() -> None:
    """Entry point: errors that the user can mend are one message and exit code 1, never a traceback.

    A signal that ends it is one message too, and 128 + its number.
    """
    ENDING.listen()
    try:
        app()
    except (KdgatError, OSError) as error:
        ENDING.end_if_told()
        print(f"kdgat: {error if isinstance(error, KdgatError) else described(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    finally:
        ENDING.end_if_told()


def described(error: OSError) -> str:
    """What the system said, of which file, and what to do: a full disk, a folder that may not be written to, and the like."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}. Mend that, or choose another folder with --root"


if __name__ == "__main__":
    main()
