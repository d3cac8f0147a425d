"""Commands about champions: the models that the nightly re-evaluation watches."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from config.errors import ConfigError
from config.variants import MEANINGS
from flows.cli.options import DataDir, Json, Root, Runner, existing, listed, name_broken, prepare, start_flow
from flows.cli.show import show, table
from tasks.execution.runner import check_runner

app = typer.Typer(help="Champions: the models that are watched every night.", no_args_is_help=True)


@app.command()
def register(
    dataset: Annotated[str, typer.Argument(help="Dataset that the models were trained on.")],
    variant: Annotated[str, typer.Argument(help=f"One of: {MEANINGS}.")],
    evaluation: Annotated[
        Path | None, typer.Option(help="Run folder of the evaluation; by default the newest.", exists=True, file_okay=False)
    ] = None,
    root: Root = Path("experiments"),
) -> None:
    """Register evaluated models, in place of the champion of the same dataset and variant."""
    paths = existing(root)
    prepare(root)
    from tasks.plans.nightly import latest_evaluation, register_evaluation

    champion = register_evaluation(paths, evaluation or latest_evaluation(paths, dataset, variant))
    show(f"{champion.name} is registered")


@app.command("list")
def list_champions(root: Root = Path("experiments"), as_json: Json = False) -> None:
    """List the champions, with their F1 at registration."""
    from kdgat_models.evaluation.nightly.champions import champions
    from kdgat_models.evaluation.nightly.comparison import figures
    from kdgat_models.runs.store import RunStore

    store = RunStore(existing(root).store)
    found = champions(store)
    rows = []
    for champion in found:
        f1 = {f"{split} {model}": value for (split, model, metric), value in figures(champion.rows).items() if metric == "f1"}
        registered = f"{champion.registered_at:%Y-%m-%d %H:%M}"
        rows.append({"champion": champion.name, "registered": registered, "captures": champion.raw, "f1": f1})
    if as_json:
        print(json.dumps(rows, indent=2))
    elif rows:
        lines = [{**row, "f1": "\n".join(f"{name} {value:.3f}" for name, value in row["f1"].items())} for row in rows]
        show(table("Champions", lines))
    else:
        show("no champion is registered: `kdgat champion register DATASET VARIANT`")
    name_broken(store)


@app.command()
def remove(
    dataset: Annotated[str, typer.Argument()], variant: Annotated[str, typer.Argument()], root: Root = Path("experiments")
) -> None:
    """Watch a champion no longer. Its models stay."""
    from kdgat_models.evaluation.nightly.champions import remove as remove_champion
    from kdgat_models.runs.store import RunStore

    if not remove_champion(RunStore(existing(root).store), dataset, variant):
        raise ConfigError(f"{dataset}/{variant} is no champion; `kdgat champion list` lists them")
    show(f"{dataset}/{variant} is watched no longer")


def nightly(
    night: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The night that is reported; by default today, in UTC.")
    ] = None,
    data_dir: DataDir = None,
    datasets: Annotated[str | None, typer.Option(help="Comma-separated; by default all that there are.")] = None,
    tolerance: Annotated[float, typer.Option(help="Loss of a metric that is still no regression.", min=0.0001, max=1)] = 0.02,
    notify: Annotated[str | None, typer.Option(help="Prefect block that is told, such as slack-webhook/ops.")] = None,
    runner: Runner = "local",
    root: Root = Path("experiments"),
) -> None:
    """Evaluate every champion on every dataset as it is now; exit with 1 if one is worse than it was."""
    chosen = listed("--datasets", datasets)
    paths = existing(root)
    prepare(root)
    check_runner(runner)
    from tasks.plans.nightly import registered

    registered(paths)
    parameters = {
        "night": night.date() if night else None,
        "data_dir": data_dir,
        "datasets": chosen,
        "tolerance": tolerance,
        "notify": notify,
        "runner": runner,
    }
    show(start_flow("nightly_reevaluation", "nightly_reevaluation", parameters, quiet=False))
