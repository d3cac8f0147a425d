"""`kdgat ablate`: run it, and print its table."""

import json
from pathlib import Path
from typing import Annotated

import typer

from config.ablation import FACTORS
from config.overrides import parse_overrides
from config.paths import Paths, default_root
from config.plugins import names
from flows.cli.options import BadRows, DataDir, Json, OnBadRows, Root, Runner, SetOption, listed, prepare, start_flow
from flows.cli.show import show, table
from tasks.execution.runner import check_runner


def ablate(
    protocol: Annotated[str, typer.Option(help=f"{', '.join(names('protocols'))}.")] = "leave-one-vehicle-out",
    data_dir: DataDir = None,
    dataset: Annotated[
        str | None, typer.Option(help="Names in the catalogue, comma-separated. Default: all in --data-dir, else demo.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, 0, 1, ...", min=1)] = 3,
    factors: Annotated[str | None, typer.Option(help=f"Comma-separated: {', '.join(FACTORS)}. Default: all.")] = None,
    folds: Annotated[str | None, typer.Option(help="Comma-separated names of folds. Default: all.")] = None,
    overrides: SetOption = None,
    on_bad_rows: BadRows = OnBadRows.error,
    runner: Runner = "local",
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Change one choice of the method at a time; report the effect of each, as a table and as a plot."""
    asked = {
        "protocol": protocol,
        "data_dir": data_dir,
        "datasets": listed("--dataset", dataset),
        "factors": listed("--factors", factors),
        "overrides": parse_overrides(overrides or []),
    }
    chosen_folds = listed("--folds", folds)
    prepare(root)
    check_runner(runner)
    from tasks.plans.ablation import plan_ablation

    plan_ablation(**asked, paths=Paths(default_root()))
    more = {"seeds": seeds, "folds": chosen_folds, "on_bad_rows": on_bad_rows.value, "runner": runner}
    (report,) = start_flow("run_ablation", "run_ablation", {**asked, **more}, as_json)
    _print_report(report.path, as_json)


def _print_report(folder: Path, as_json: bool) -> None:
    from kdgat_models.evaluation.ablation.report import COLUMNS, row_cells
    from tasks.stages.reports import read_ablation

    report = read_ablation(folder)
    if as_json:
        print(json.dumps({**report.as_json(), "path": str(folder)}, indent=2))
        return
    folds, seeds = ", ".join(report.folds), ", ".join(map(str, report.seeds))
    rows = [dict(zip(COLUMNS, row_cells(row), strict=True)) for row in report.rows]
    show(table(f"{report.protocol}: folds {folds}; seeds {seeds}", rows))
    show(table("Written", [{"what": "report (report.md, report.json, effects.png, effects.svg)", "path": str(folder)}]))
