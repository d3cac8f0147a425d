"""Commands that list what there is: models, results, attempts, memory."""

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.catalog import catalog
from config.errors import ConfigError
from config.plugins import find
from config.resolver import list_auxiliaries, list_models, resolve
from flows.cli.options import MODALITY, Json, Root, existing, name_broken
from flows.cli.show import plain, show, table

if TYPE_CHECKING:
    from kdgat_models.runs.store import RunStore


def models(as_json: Json = False) -> None:
    """List models, their scales and sizes, and what can be trained beside them."""
    rows = []
    for model, scales in list_models().items():
        for scale in scales:
            config = resolve(model, scale)
            architecture = config.model_dump(mode="json")["dqn" if model == "fusion" else model]  # of the default method
            rows.append({"model": model, "scale": scale, "lr": config.training.lr, "architecture": architecture})
    if as_json:
        print(json.dumps({"models": rows, "auxiliaries": list_auxiliaries()}, indent=2))
    else:
        show(table("Models", [{**row, "architecture": plain(row["architecture"])} for row in rows]))
        show(f"auxiliaries: {', '.join(list_auxiliaries())}")


def leaderboard(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    top: Annotated[int, typer.Option(help="Models per dataset and split.", min=1)] = 1,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Print the best models by F1, per dataset and test split, from the run store."""
    from kdgat_models.runs.store import RunStore
    from kdgat_models.runs.store import leaderboard as best

    store = RunStore(existing(root).store)
    _check_dataset(store, "metrics", dataset)
    rows = [row._asdict() for row in best(store, dataset, top)]
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
        show(f"no evaluation in {root} yet: run `kdgat run --modality {MODALITY}`")
    name_broken(store)


def _check_dataset(store: "RunStore", table: str, dataset: str | None) -> None:
    """Raise a ConfigError if a dataset is neither in the catalogue nor in the run store."""
    if dataset is None or dataset in catalog():
        return
    known = [row["dataset"] for row in store.query(f"select distinct dataset from {table} order by dataset")]
    if dataset not in known:
        names = [*catalog(), *(name for name in known if name not in catalog())]
        nearest = difflib.get_close_matches(dataset, names, n=1)
        hint = f". Did you mean {nearest[0]}?" if nearest else ""
        raise ConfigError(f"unknown dataset {dataset!r}; there are: {', '.join(names)}{hint}")


def memory(root: Root = Path("experiments"), as_json: Json = False) -> None:
    """Print what was learnt about the memory of stages, and what the next run asks for first."""
    from kdgat_models.runs.memory import lessons
    from kdgat_models.runs.store import RunStore

    store = RunStore(existing(root).store)
    rows = [learnt.as_json() for learnt in lessons(store)]
    if as_json:
        print(json.dumps(rows, indent=2))
    elif rows:
        show(table("Memory: next request = peak / factor (or peak + 256 MB)", rows))
    else:
        show(f"no stage has run in {root} yet: run `kdgat run --modality {MODALITY}`")
    name_broken(store)


RUN_COLUMNS = """started_at, pipeline_run[:8] as pipeline, dataset, protocol, variant, stage, attempt, status, reason,
    round(memory_requested_mb) as asked_mb, round(peak_memory_mb) as peak_mb, round(seconds, 1) as seconds, host, job"""
ATTEMPTS = f"""select {RUN_COLUMNS}, error from attempts
    where ($dataset is null or dataset = $dataset) and ($protocol is null or protocol = $protocol)
    order by started_at desc limit $last"""


def runs(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Only what this protocol trained and scored.")] = None,
    last: Annotated[int, typer.Option(help="How many.", min=1)] = 30,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Print the last attempts at stages: what each asked for, what it used, and why it ended."""
    from kdgat_models.runs.store import RunStore

    store = RunStore(existing(root).store)
    _check_dataset(store, "runs", dataset)
    if protocol:
        find("protocols", protocol)
    rows = store.query(ATTEMPTS, {"dataset": dataset, "protocol": protocol, "last": last})[::-1]
    for row in rows:
        row["started_at"] = f"{row['started_at']:%Y-%m-%d %H:%M:%S}" if row["started_at"] else None
    if as_json:
        print(json.dumps(rows, indent=2))
    elif rows:
        show(table("Attempts", rows, [name for name in rows[0] if name != "error"]))
    else:
        show(f"no stage has run in {root} yet: run `kdgat run --modality {MODALITY}`")
    name_broken(store)
