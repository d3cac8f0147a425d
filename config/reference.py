"""docs/configuration.md, made from the schema: `python -m config.reference` writes it, and a test says when it is old."""

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from config.cluster import SlurmProfile
from config.paths import CHECKOUT
from config.resolver import FOLDER
from config.schema import PipelineConfig

PAGE = CHECKOUT / "docs" / "configuration.md"
INTRODUCTION = """# Settings

Made from `config/schema.py` by `python -m config.reference`. Do not edit it by hand: a test says when it is no longer current.

A setting has the default below, unless a file says otherwise; later ones win: `config/defaults.yaml`,
`config/methods/{method}.yaml`, `config/models/{model}/{scale}.yaml`, what the method says of that model and scale,
`config/auxiliaries/{auxiliary}.yaml`, the dataset's `resources` in `config/datasets.yaml`, and last what you say:

```sh
kdgat run --modality automotive --set training.max_epochs=8 --set small_kd:gat.hidden=16
```

`NAME=VALUE` holds for all models, `VARIANT:NAME=VALUE` for those of one variant. An unknown name is refused, with the nearest
that there is. What a model was trained with lies in `config.json` of its run folder."""
FILES = """## What the files say

Where these differ from the defaults above, they are what a model gets."""
PROFILE = """## SLURM profiles

Fields of `{root}/slurm/NAME.yaml`, and of the profiles that ship in `deployments/slurm/`; see `deployments/README.md`."""


def page() -> str:
    """The whole page."""
    fields = PipelineConfig.model_fields.items()
    sections: dict[str, Any] = {name: field.annotation for name, field in fields if _is_section(field.annotation)}
    parts = [INTRODUCTION, "## Of the whole run", _table(PipelineConfig, "", sections)]
    for name, section in sections.items():
        parts += [f"## `{name}`", _words_of(section), _table(section, f"{name}.")]
    parts += [FILES, _rows("file", "says", rows=_stated())]
    parts += [PROFILE, _table(SlurmProfile, "")]
    return "\n\n".join(parts) + "\n"


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _words_of(section: Any) -> str:
    return " ".join((inspect.getdoc(section) or "").split())


def _table(model: type[BaseModel], prefix: str, left_out: Mapping[str, Any] | None = None) -> str:
    described = model.model_json_schema()["properties"].items()
    rows = (
        (f"`{prefix}{name}`", _kind(field), _value(field.get("default")), field.get("description", ""))
        for name, field in described
        if name not in (left_out or {})
    )
    return _rows("setting", "values", "default", "meaning", rows=rows)


def _rows(*columns: str, rows: Iterator[tuple[str, ...]]) -> str:
    cells = [columns, ("---",) * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in cells)


def _kind(field: Mapping[str, Any]) -> str:
    """What a setting may be, from its JSON schema."""
    if "anyOf" in field:
        choices = sorted(field["anyOf"], key=lambda choice: choice["type"] != "null")
        return " or ".join(_kind(choice) for choice in choices)
    if "const" in field or "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        items = field.get("prefixItems", [field.get("items", {})])
        count = f"{len(items)} of: " if "prefixItems" in field else "list of: "
        return count + _kind(items[0])
    if field["type"] == "object":
        return f"name: {_kind(field['additionalProperties'])}"
    words = {"integer": "integer", "number": "number", "boolean": "`true`, `false`", "null": "none", "string": "text"}
    return words[field["type"]] + _bounds(field)


def _bounds(field: Mapping[str, Any]) -> str:
    words = {"exclusiveMinimum": "above", "minimum": "at least", "exclusiveMaximum": "below", "maximum": "at most"}
    said = [f"{word} {field[bound]:,}" for bound, word in words.items() if bound in field]
    return f", {' and '.join(said)}" if said else ""


def _value(value: Any) -> str:
    if value in (None, ""):
        return "none"
    return f"`{value}`" if isinstance(value, str) else f"`{json.dumps(value)}`"


def _stated() -> Iterator[tuple[str, str]]:
    """The settings of every YAML file that configs are composed of."""
    files = [FOLDER / "defaults.yaml", *(path for kind in ("methods", "models", "auxiliaries") for path in _yaml(kind))]
    for file in files:
        said = _flat(yaml.safe_load(file.read_text()) or {})
        yield f"`config/{file.relative_to(FOLDER)}`", ", ".join(f"`{name}` {_value(value)}" for name, value in said)


def _yaml(kind: str) -> list[Path]:
    return sorted((FOLDER / kind).rglob("*.yaml"))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


if __name__ == "__main__":
    PAGE.write_text(page())
