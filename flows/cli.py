"""The `kdgat` command."""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from config.catalog import catalog
from config.errors import ConfigError, KdgatError
from config.paths import Paths, default_root, tool_environment
from config.resolver import list_auxiliaries, list_models, parse_overrides, resolve
from flows.show import results_table, show, table
from tasks.compute import check_runner

app = typer.Typer(
    help="Train, distil and evaluate intrusion detectors for CAN buses.\n\n"
    "`kdgat run` alone runs everything on a simulated dataset. For recorded traffic: "
    "`kdgat run --dataset hcrl_sa --data-dir DIR`, where DIR/hcrl_sa/SPLIT/*.csv are the captures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class OnBadRows(StrEnum):
    error = "error"
    quarantine = "quarantine"


Dataset = Annotated[str, typer.Option(help="Name in the catalogue; `kdgat datasets` lists them.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder that holds DATASET/SPLIT/*.csv[.gz|.zst].", file_okay=False, exists=True)
]
Root = Annotated[
    Path,
    typer.Option(
        help="Folder for everything that is written.", envvar="KDGAT_ROOT", file_okay=False, show_default="./experiments"
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, e.g. training.lr=0.001; may be repeated."),
]
BadRows = Annotated[OnBadRows, typer.Option(help="Rows that are no frames: stop with an error, or set them aside and go on.")]
Runner = Annotated[str, typer.Option(help="Where stages run: local, slurm or slurm:PROFILE (see deployments/slurm).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Variants = Annotated[str, typer.Option(help="Comma-separated: large, small_kd (distilled), small_nokd.")]


@app.command()
def run(
    dataset: Dataset = "demo",
    data_dir: DataDir = None,
    modality: Annotated[str, typer.Option(help="Domain of the data: automotive.")] = "automotive",
    variants: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: large, small_kd (distilled), small_nokd. Default: all, or small_kd with --distillation.",
            show_default=False,
        ),
    ] = None,
    models: Annotated[str, typer.Option(help="Comma-separated models to train; dqn is the fusion.")] = "vgae,gat,dqn",
    distillation: Annotated[
        str | None, typer.Option(help="with-kd or no-kd for vgae,gat,dqn. with-kd means the small scale and needs a teacher.")
    ] = None,
    teacher: Annotated[
        list[str] | None, typer.Option(metavar="MODEL=FOLDER", help="Run folder of a teacher; by default the newest large one.")
    ] = None,
    overrides: Overrides = None,
    on_bad_rows: BadRows = OnBadRows.error,
    runner: Runner = "local",
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Run the pipeline: ingest, graphs, teachers, students, fusion, evaluation.

    What has been computed before is not computed again; a run that was interrupted goes on where it stopped.
    """
    chosen = variants or ("small_kd" if distillation else "large,small_kd,small_nokd")
    settings = {**parse_overrides(overrides or []), "modality": modality}
    parameters: dict[str, Any] = {
        "dataset": dataset,
        "data_dir": data_dir,
        "variants": _listed(chosen),
        "models": _listed(models),
        "distillation": _listed(distillation) if distillation else None,
        "teachers": _teachers(teacher or []),
        "overrides": settings,
        "on_bad_rows": on_bad_rows.value,
        "runner": runner,
    }
    _prepare(root)
    check_runner(runner)
    from tasks.plan import plan_pipeline

    # Everything that can be wrong with a request is said before anything is started.
    asked = {name: parameters[name] for name in ("variants", "models", "distillation", "teachers", "overrides")}
    plan_pipeline(dataset, Paths(default_root()), **asked)
    _check_data(dataset, data_dir)
    evaluations = _flow("train_pipeline", "train_pipeline", parameters, as_json)
    _print_results(evaluations, as_json)


@app.command()
def ingest(
    dataset: Dataset = "demo",
    data_dir: DataDir = None,
    overrides: Overrides = None,
    on_bad_rows: BadRows = OnBadRows.error,
    runner: Runner = "local",
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Validate the captures of a dataset, write them as Parquet, build the graphs."""
    settings = parse_overrides(overrides or [])
    resolve("vgae", "large", **settings)
    _prepare(root)
    check_runner(runner)
    _check_data(dataset, data_dir)
    parameters = {
        "dataset": dataset,
        "data_dir": data_dir,
        "overrides": settings,
        "on_bad_rows": on_bad_rows.value,
        "runner": runner,
    }
    made = _flow("ingest_dataset", "ingest_dataset", parameters, as_json)
    rows = [{"made": artifact.kind, **artifact.summary, "path": str(artifact.path)} for artifact in made]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        for row in rows:
            show(table(row["made"], [{"": name, "value": _plain(value)} for name, value in row.items() if name != "made"]))


@app.command()
def evaluate(
    dataset: Dataset = "demo",
    data_dir: DataDir = None,
    variants: Variants = "large,small_kd,small_nokd",
    overrides: Overrides = None,
    on_bad_rows: BadRows = OnBadRows.error,
    runner: Runner = "local",
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Evaluate the newest trained models on the test splits that are on disk now."""
    settings = parse_overrides(overrides or [])
    _prepare(root)
    check_runner(runner)
    from tasks.plan import plan_evaluation

    plan_evaluation(dataset, Paths(default_root()), variants=_listed(variants), overrides=settings)
    _check_data(dataset, data_dir)
    parameters = {
        "dataset": dataset,
        "data_dir": data_dir,
        "variants": _listed(variants),
        "overrides": settings,
        "on_bad_rows": on_bad_rows.value,
        "runner": runner,
    }
    _print_results(_flow("evaluate_dataset", "evaluate_dataset", parameters, as_json), as_json)


@app.command()
def datasets(as_json: Json = False) -> None:
    """List the catalogue of datasets."""
    rows = [{"dataset": name, **entry.model_dump(mode="json")} for name, entry in catalog().items()]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        columns = [{**row, "splits": "\n".join(row["splits"]), "readers": ", ".join(row["readers"])} for row in rows]
        show(table("Datasets", columns, ["dataset", "domain", "splits", "readers", "source", "licence"]))


@app.command()
def models(as_json: Json = False) -> None:
    """List models, their scales and sizes, and what can be trained beside them."""
    rows = []
    for model, scales in list_models().items():
        for scale in scales:
            config = resolve(model, scale)
            architecture = config.model_dump(mode="json")[model]
            rows.append({"model": model, "scale": scale, "lr": config.training.lr, "architecture": architecture})
    if as_json:
        print(json.dumps({"models": rows, "auxiliaries": list_auxiliaries()}, indent=2))
    else:
        show(table("Models", [{**row, "architecture": _plain(row["architecture"])} for row in rows]))
        show(f"auxiliaries: {', '.join(list_auxiliaries())}")


@app.command()
def leaderboard(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    top: Annotated[int, typer.Option(help="Models per dataset and split.", min=1)] = 1,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Print the best models by F1, per dataset and test split, from the run store."""
    from kdgat_models.runs.store import RunStore
    from kdgat_models.runs.store import leaderboard as best

    rows = best(RunStore(Paths(root.expanduser().resolve()).store), dataset, top)
    if as_json:
        print(json.dumps(rows, indent=2))
    elif rows:
        show(
            table(
                "Leaderboard",
                rows,
                ["dataset", "split", "rank", "variant", "model", "f1", "roc_auc", "precision", "recall", "fpr"],
            )
        )
    else:
        show(f"no evaluation in {root} yet: run `kdgat run`")


def main() -> None:
    """Entry point: errors that the user can mend are one message and exit code 1, never a traceback."""
    try:
        app()
    except KdgatError as error:
        print(f"kdgat: {error}", file=sys.stderr)
        raise SystemExit(1) from None


def _prepare(root: Path) -> None:
    """Point all tools at the root, before any of them is imported."""
    absolute = root.expanduser().resolve()
    os.environ.update(tool_environment(absolute))
    try:
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot write below {absolute}: {error}. Choose another folder with --root") from error


def _flow(module: str, name: str, parameters: dict[str, Any], quiet: bool) -> list[Any]:
    """Import and run a flow; Prefect takes seconds to import, so nothing else waits for it."""
    from flows.embedded import run_flow

    return run_flow(module, name, parameters, quiet)


def _print_results(evaluations: list[Any], as_json: bool) -> None:
    reports = [json.loads((artifact.path / "metrics.json").read_text()) for artifact in evaluations]
    if as_json:
        print(
            json.dumps(
                [{**report, "path": str(item.path)} for report, item in zip(reports, evaluations, strict=True)], indent=2
            )
        )
        return
    show(results_table(reports))
    paths = Paths(default_root())
    written = [{"what": f"evaluation {item.summary['variant']}", "path": str(item.path)} for item in evaluations]
    written += [
        {"what": "run store (DuckDB over Parquet)", "path": str(paths.store)},
        {"what": "MLflow", "path": paths.tracking_uri},
        {"what": "Prefect", "path": os.environ["PREFECT_HOME"]},
    ]
    show(table("Written", written))


def _check_data(dataset: str, data_dir: Path | None) -> None:
    from config.catalog import dataset_entry, dataset_folder, find_captures

    folder = dataset_folder(dataset, data_dir, Paths(default_root()))
    if not dataset_entry(dataset).simulated or data_dir is not None:
        find_captures(dataset, folder)


def _teachers(assignments: list[str]) -> dict[str, Path] | None:
    pairs = [assignment.partition("=") for assignment in assignments]
    for model, separator, folder in pairs:
        if not separator or not Path(folder).is_dir():
            raise typer.BadParameter(f"--teacher {model}{separator}{folder}: expected MODEL=FOLDER with an existing run folder")
    return {model: Path(folder).resolve() for model, _, folder in pairs} or None


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
