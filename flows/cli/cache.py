"""Commands about the cache: what was computed and is not computed again."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from flows.cli.options import Json, Root, existing
from flows.cli.show import show, table

app = typer.Typer(help="The cache: what was computed, and is taken instead of being computed again.", no_args_is_help=True)


@app.callback()
def cache() -> None:
    """The cache: what was computed, and is taken instead of being computed again."""


@app.command()
def verify(
    keep: Annotated[
        bool, typer.Option("--keep", help="Only say what is damaged; the next run may then go on using it.")
    ] = False,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Compare every file of every artifact with what was published; exit with 1 if one is damaged.

    What is damaged is withdrawn, and what was made from it: the next run makes it anew. Every run looks at what it uses, too,
    at blocks of large files; this command reads all of them.
    """
    from tasks.records.verify import verify as verify_all

    paths = existing(root)
    said: list[str] = []
    columns = SpinnerColumn(), TextColumn("{task.description}")
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        bar = progress.add_task("", total=None)
        verdicts = verify_all(
            paths, said.append, keep, lambda folder: progress.update(bar, description=f"{folder.parent.name}/{folder.name}")
        )
    for sentence in said:
        print(f"kdgat: {sentence}", file=sys.stderr)
    damaged = [verdict for verdict in verdicts if verdict.damages]
    if as_json:
        rows = [
            {
                "path": str(verdict.folder),
                "kind": verdict.kind,
                "state": verdict.state,
                "damages": [damage._asdict() for damage in verdict.damages],
                "made_from_it": [str(folder) for folder in verdict.made_from_it],
            }
            for verdict in verdicts
        ]
        print(json.dumps(rows, indent=2))
    elif damaged:
        lines = [{"artifact": str(v.folder), "damage": "\n".join(map(str, v.damages))} for v in damaged]
        show(table("Damaged", lines))
    if not as_json:
        show(f"{len(verdicts)} artifacts, {len(damaged)} damaged")
    if damaged:
        raise typer.Exit(1)
