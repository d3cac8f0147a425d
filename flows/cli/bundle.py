"""`kdgat bundle`: a trained model as one file."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from config.errors import ConfigError
from flows.cli.options import Json, Root, existing, listed
from flows.cli.show import show, table

Folder = Annotated[
    Path | None, typer.Argument(exists=True, file_okay=False, help="Run folder of an evaluation, or of one trained model.")
]


def bundle(
    folder: Folder = None,
    dataset: Annotated[str | None, typer.Option(help="Instead of a folder: the newest evaluation of this dataset ...")] = None,
    variant: Annotated[str, typer.Option(help="... and this variant.")] = "small_kd",
    champion: Annotated[str | None, typer.Option(metavar="DATASET/VARIANT", help="Instead of a folder: a champion.")] = None,
    models: Annotated[
        str | None, typer.Option(help="Comma-separated: gat (default), or vgae,gat,fusion for the verdict of the fusion.")
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Decision rule that counts. Default: that of the training.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", dir_okay=False, help="The file to write.")] = None,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Put a trained detector into one file, which `kdgat detect --model FILE` and `kdgat_models.Detector.load` open."""
    if sum(given is not None for given in (folder, dataset, champion)) != 1:
        raise ConfigError("give one of: a run folder, --dataset, --champion")
    from config.legacy import current_model_type
    from kdgat_models.bundle import file_name
    from tasks.plans.nightly import latest_evaluation, registered
    from tasks.records.bundles import make_bundle, trained_by, trained_in

    if champion is not None:
        known = {one.name: one for one in registered(existing(root))}
        if champion not in known:
            raise ConfigError(f"there is no champion {champion!r}; there are: {', '.join(known)}")
        trained = trained_by(known[champion])
    else:
        trained = trained_in((folder or latest_evaluation(existing(root), dataset or "", variant)).resolve())
    chosen = [current_model_type(model) for model in listed("--models", models) or ()]
    with TemporaryDirectory(dir=output.parent if output else Path()) as scratch:
        made = Path(scratch) / "made"
        about = make_bundle(trained, chosen or None, rule, made)
        target = made.replace(output or Path(file_name(about)))
    if as_json:
        print(json.dumps({"bundle": str(target), **about.model_dump(mode="json")}, indent=2))
        return
    rows = [{"": "bundle", "value": str(target)}, {"": "models", "value": ", ".join(about.models)}]
    show(table("Bundled", [*rows, {"": "size", "value": f"{target.stat().st_size / 1000:.0f} kB"}]))
    print(f"use it: kdgat detect FILE --model {target}")
