"""`kdgat datasets`: what is in the catalogue, and what of it is on disk."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.catalog import catalog, origin
from config.paths import Paths
from flows.cli.options import DataDir, Json, Root
from flows.cli.show import show, table

if TYPE_CHECKING:
    from tasks.plans.dataset_check import SeenDataset

app = typer.Typer(help="List the catalogue of datasets, and look at one before it is used.", invoke_without_command=True)


@app.callback()
def datasets(context: typer.Context, root: Root = Path("experiments"), as_json: Json = False) -> None:
    """List the catalogue of datasets: ours, those of datasets.yaml in the root, of --catalog FILE, of packages."""
    os.environ["KDGAT_ROOT"] = str(root.expanduser().resolve())
    if context.invoked_subcommand:
        return
    rows = [{"dataset": name, **entry.model_dump(mode="json"), "catalogue": origin(name)} for name, entry in catalog().items()]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        columns = [{**row, "splits": "\n".join(row["splits"]), "readers": ", ".join(row["readers"])} for row in rows]
        show(table("Datasets", columns, ["dataset", "catalogue", "domain", "splits", "readers", "source", "licence"]))


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="Name in the catalogue.")],
    data_dir: DataDir = None,
    rows: Annotated[int, typer.Option(help="Frames that are shown of each capture.", min=0)] = 3,
    as_json: Json = False,
) -> None:
    """Show what is found of a dataset and how it is understood: splits, readers, vehicles, attacks, first rows.

    Nothing is written. Exit code 1 if a run would stop at something.
    """
    from config.paths import default_root
    from tasks.plans.dataset_check import look_at

    seen = look_at(name, data_dir, Paths(default_root()), rows)
    if as_json:
        captures = [{**capture._asdict(), "rows": [row._asdict() for row in capture.rows]} for capture in seen.captures]
        print(json.dumps({**seen._asdict(), "captures": captures, "usable": seen.usable}, indent=2, default=str))
    else:
        _print(seen)
    if not seen.usable:
        raise typer.Exit(1)


def _print(seen: "SeenDataset") -> None:
    columns = ["split", "role", "file", "megabytes", "reader", "vehicle", "attack"]
    if seen.captures:
        show(table(f"{seen.name} in {seen.folder}", [capture._asdict() for capture in seen.captures], columns))
    for capture in seen.captures:
        for row in capture.rows:
            label = "attack" if row.label else "normal"
            show(f"{capture.file}: {row.timestamp:.6f} s  {row.arbitration_id}  [{row.dlc}] {row.payload}  {label}")
    notes = [f"catalogue: {seen.catalogue}"]
    notes += [f"not on disk: {', '.join(seen.absent_splits)}"] if seen.absent_splits else []
    notes += [f"not in the catalogue, and ignored: {', '.join(seen.unknown_folders)}"] if seen.unknown_folders else []
    problems = [f"{capture.split}/{capture.file}: {capture.problem}" for capture in seen.captures if capture.problem]
    for line in (*notes, *(f"problem: {problem}" for problem in (*seen.problems, *problems))):
        show(line)
    if seen.usable:
        show("nothing was seen that would stop a run; only the beginning of each capture was read")
