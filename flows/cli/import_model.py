"""`kdgat import-model`: models of older code."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from config.legacy import current_model_type
from config.overrides import parse_overrides
from config.paths import Paths, default_root
from flows.cli.options import Json, Root, SetOption, named_folders, prepare
from flows.cli.show import plain, show, table

ExistingFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="State dict of torch.save.")]


def import_model(
    file: ExistingFile,
    config: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="JSON config of the older code that made it.")],
    dataset: Annotated[str | None, typer.Option(help="Name in the catalogue; by default that of the config.")] = None,
    model: Annotated[str | None, typer.Option(help="vgae, gat or fusion; by default what the config says.")] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="JSON list of the arbitration IDs of the embedding, or object of ID: row (OOV: row of all others). "
            "Default: the IDs of the graphs.",
        ),
    ] = None,
    graphs: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Graphs to choose thresholds on. Default: the newest of the dataset."),
    ] = None,
    base: Annotated[
        list[str] | None,
        typer.Option(metavar="MODEL=FOLDER", help="Run folder of a fusion's vgae or gat; by default the newest of its scale."),
    ] = None,
    overrides: SetOption = None,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Import a model of older code: a state dict becomes a run folder that evaluations and students find.

    Nothing in the file is run. Thresholds are chosen on calibration windows of graphs of schema reference, which
    `kdgat ingest --modality automotive --set method=published` builds. Import the autoencoder and the classifier before
    their fusion.
    """
    settings, bases = parse_overrides(overrides or []), named_folders("--base", base or [])
    prepare(root)
    from tasks.records.import_model import ImportRequest
    from tasks.records.import_model import import_model as imported

    request = ImportRequest(file, config, dataset, model and current_model_type(model), settings, vocabulary, graphs, bases)
    artifact, inputs = imported(request, Paths(default_root()))
    row: dict[str, Any] = {"made": artifact.kind, **artifact.summary, "path": str(artifact.path)}
    row |= {name: str(used.path) for name, used in inputs.items()}
    if as_json:
        print(json.dumps(row, indent=2))
    else:
        show(table("Imported", [{"": name, "value": plain(value)} for name, value in row.items()]))
