"""`kdgat plugins`: all that can be chosen by name, where it comes from, and what cannot be loaded."""

import json

import typer

from config.catalog import left_out
from config.errors import PluginError
from config.plugins import Registered, kinds, load_entry, misplaced, registered
from flows.cli.options import Json
from flows.cli.show import show, table

OK = "ok"


def plugins(as_json: Json = False) -> None:
    """List all that can be chosen by name: what is built in, and what installed packages add.

    Packages are imported to see whether they can be. Exit code 1 if something of theirs cannot be used.
    """
    entries = [*(entry for kind in kinds() for entry in registered(kind)), *misplaced()]
    rows = [{"kind": entry.kind, "name": entry.name, "from": entry.provider, "state": state(entry)} for entry in entries]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        show(table("What can be chosen by name", rows))
    if any(row["state"] != OK for row in rows):
        raise typer.Exit(1)


def state(entry: Registered) -> str:
    """`ok`, or why an entry cannot be used. What is built in is not loaded: that would take seconds, and is tested."""
    if entry.problem:
        return f"refused: {entry.problem}"
    if entry.built_in:
        return OK
    if entry.kind == "datasets":
        return left_out(entry) or OK
    try:
        load_entry(entry)
    except PluginError as error:
        return str(error)
    return OK
