"""Options that commands share, and what each command does first."""

import os
import sys
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from config import schema
from config.errors import ConfigError
from config.paths import TOOLS, Paths, tool_environment
from tasks.service.running import API_URL, CLIENT_KEY, client_settings, running_service

if TYPE_CHECKING:
    from kdgat_models.runs.store import RunStore


class OnBadRows(StrEnum):
    """What becomes of rows that are no frames."""

    error = "error"
    quarantine = "quarantine"


Dataset = Annotated[str, typer.Option(help="Name in the catalogue; `kdgat datasets` lists them.")]
DataDir = Annotated[
    Path | None, typer.Option(help="Folder that holds DATASET/SPLIT/*.csv[.gz|.zst].", file_okay=False, exists=True)
]
Modality = Annotated[str, typer.Option(metavar="|".join(get_args(schema.Modality)), help="Domain of the captures.")]
MODALITY = schema.PipelineConfig.model_fields["modality"].default
Root = Annotated[
    Path,
    typer.Option(help="Folder for everything that is written.", envvar="KDGAT_ROOT", show_default="./experiments"),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Change a setting, e.g. training.lr=0.001; may be repeated."),
]
AimedSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[VARIANT:]NAME=VALUE",
        help="Change a setting of all models, e.g. training.lr=0.001, or of one variant, e.g. small_kd:gat.hidden=8; may be "
        "repeated.",
    ),
]
BadRows = Annotated[OnBadRows, typer.Option(help="Rows that are no frames: stop with an error, or set them aside and go on.")]
Runner = Annotated[str, typer.Option(help="Where stages run: local, slurm or slurm:PROFILE (see deployments/slurm).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


LONGEST = 480  # bytes of the root's path: SQLite opens no database whose path has more than 504


def prepare(root: Path) -> None:
    """Point all tools at the root, before any of them is imported, and Prefect at a `kdgat serve` that runs below it."""
    absolute = root.expanduser().resolve()
    os.environ.update(tool_environment(absolute))
    if len(os.fsencode(absolute)) > LONGEST:
        raise ConfigError(
            f"the path {absolute} is too long: databases need one of at most {LONGEST} bytes. Choose another --root"
        )
    for folder in (absolute / name for name in TOOLS):
        if folder.is_file():
            raise ConfigError(f"{folder} is a file, and should be a folder. Move it, or choose another folder with --root")
    try:
        Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=absolute) as file:  # a folder may be there and yet not be written to, or the disk be full
            file.write(bytes(4096))
    except OSError as error:
        raise ConfigError(f"cannot write below {absolute}: {error}. Choose another folder with --root") from error
    _join_service(Paths(absolute))


def _join_service(paths: Paths) -> None:
    """Point Prefect's client at the service of this root. A server that the user named instead is not given its key."""
    service = running_service(paths)
    named = os.environ.get(API_URL)
    if service is None or named not in (None, service.api):
        return
    if named is None or CLIENT_KEY not in os.environ:
        os.environ.update(client_settings(paths, service))


def existing(root: Path) -> Paths:
    """The paths below a root that is only read: nothing is made in it.

    Raises:
        ConfigError: it is not there, or no folder.
    """
    absolute = root.expanduser().resolve()
    if not absolute.exists():
        raise ConfigError(f"there is nothing in {absolute}: no such folder. `kdgat run` fills it; --root names another")
    if not absolute.is_dir():
        raise ConfigError(f"{absolute} is a file; --root names the folder that `kdgat run` wrote to")
    return Paths(absolute)


def name_broken(store: "RunStore") -> None:
    """End with exit code 1 if a file of the run store was left out because it is broken; the message is on standard error."""
    for sentence in store.warnings():
        print(f"kdgat: {sentence}", file=sys.stderr)
    if store.broken:
        raise typer.Exit(1)


def start_flow(module: str, name: str, parameters: dict[str, Any], quiet: bool) -> Any:
    """Import and run a flow; Prefect takes seconds to import, so nothing else waits for it."""
    from flows.cli.embedded import run_flow

    return run_flow(module, name, parameters, quiet)


def listed(option: str, text: str | None) -> list[str] | None:
    """The parts of a comma-separated option; None: it was not given.

    Raises:
        ConfigError: a part is empty.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise ConfigError(f"{option} {text!r} has an empty part; give names with commas between them, or leave {option} out")
    return parts


def with_modality(settings: dict[str, str], modality: str) -> dict[str, str]:
    """The settings that a command was given, and the modality; raises a ConfigError if that was set twice."""
    if "modality" in settings:
        raise ConfigError("modality cannot be set: that is what --modality is for")
    return {**settings, "modality": modality}


def say(notes: Iterable[str]) -> None:
    """Print what the user has to know, where it does not get into the way of what is printed for programs."""
    for text in notes:
        print(f"kdgat: note: {text}", file=sys.stderr)


def named_folders(option: str, assignments: list[str]) -> dict[str, Path]:
    """Run folders by model, from values MODEL=FOLDER of `option`."""
    pairs = [assignment.partition("=") for assignment in assignments]
    for model, separator, folder in pairs:
        if not separator or not Path(folder).is_dir():
            raise typer.BadParameter(f"{option} {model}{separator}{folder}: expected MODEL=FOLDER with an existing run folder")
    return {model: Path(folder).resolve() for model, _, folder in pairs}
