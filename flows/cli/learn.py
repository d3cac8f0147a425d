"""`kdgat learn`: what is normal on a vehicle, as a profile."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from config.errors import ConfigError
from flows.cli.detect import Files, Model, expanded
from flows.cli.options import Json, say
from flows.cli.show import plain, show, table


def learn(
    files: Files,
    output: Annotated[Path, typer.Option("--output", "-o", help="The profile to write, such as car.profile.", dir_okay=False)],
    refresh: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A profile of this vehicle to go on from, within bounds."),
    ] = None,
    merge: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="A profile of the same vehicle to unite with.")
    ] = None,
    new_ids: Annotated[bool, typer.Option("--new-ids", help="With --refresh: learn IDs that are new to the profile.")] = False,
    channel: Annotated[str | None, typer.Option(help="Bus to learn, of recordings with several.")] = None,
    model: Model = None,
    as_json: Json = False,
) -> None:
    """Learn what is normal on a vehicle from minutes of its traffic without attacks, for `kdgat detect --profile`.

    Some minutes of ordinary driving are enough; each recording is of the same bus of the same vehicle.
    """
    if new_ids and refresh is None:
        raise ConfigError("--new-ids is for --refresh: a new profile learns all IDs")
    sources = list(expanded(files))
    from kdgat_models.detection.learning import Learning
    from kdgat_models.detector import Detector
    from kdgat_models.profiles.combining import merged, refreshed
    from kdgat_models.profiles.profile import load_profile, save_profile

    old = load_profile(refresh) if refresh else None
    learning = Learning(channel, old, Detector.load(model) if model else None)
    for source in sources:
        learning.add(Path(source))
    profile, notes = learning.profile(), list[str]()
    if old:
        profile, notes = refreshed(old, profile, learn_ids=new_ids)
    for other in merge or []:
        profile = merged(profile, load_profile(other))
    save_profile(output, profile)
    about = profile.about
    row: dict[str, Any] = {
        "profile": str(output),
        "IDs": len(profile.ids),
        "seconds": round(about.seconds, 1),
        "frames": about.frames,
    }
    say([*about.notes, *notes])
    if as_json:
        print(json.dumps({**row, "notes": [*about.notes, *notes]}, indent=2))
    else:
        show(table("Learnt", [{"": name, "value": plain(value)} for name, value in row.items()]))
        print(f"use it: kdgat detect FILE --profile {output}")
