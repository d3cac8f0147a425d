"""Champions: the models that are watched every night. One row per registration or removal; the last row of a name holds."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from kdgat_models.evaluation.rows import EvaluationRow, StoredRow
from kdgat_models.runs.store import RunStore

_ROWS = TypeAdapter(tuple[StoredRow, ...])


class Champion(NamedTuple):
    """One registered detector."""

    dataset: str  # that it was trained on
    variant: str
    models: dict[str, Any]  # vgae, gat, fusion -> JSON of the Artifact, or None
    graphs: dict[str, Any]  # JSON of the Artifact that it was trained on
    raw: str  # folder of the captures that it was trained on
    config: dict[str, Any]
    rows: tuple[EvaluationRow, ...]  # metrics at registration
    registered_at: datetime

    @property
    def name(self) -> str:
        """As tables show it: `dataset/variant`."""
        return f"{self.dataset}/{self.variant}"

    @property
    def slug(self) -> str:
        """As names of files and folders have it."""
        return f"{self.dataset}-{self.variant}"


def register(store: RunStore, champion: Champion) -> None:
    """Make `champion` the one of its dataset and variant."""
    texts = {name: json.dumps(getattr(champion, name)) for name in ("models", "graphs", "config")}
    texts["rows"] = json.dumps([row.as_json() for row in champion.rows])
    _write(store, champion.slug, champion._asdict() | texts)


def remove(store: RunStore, dataset: str, variant: str) -> bool:
    """Watch the champion no longer; returns whether there was one."""
    found = [champion for champion in champions(store) if (champion.dataset, champion.variant) == (dataset, variant)]
    for champion in found:
        _write(store, champion.slug, {"dataset": dataset, "variant": variant, "removed": True})
    return bool(found)


def champions(store: RunStore) -> list[Champion]:
    """All registered champions, by name."""
    last = {(row["dataset"], row["variant"]): row for row in store.rows("champions")}
    found = []
    for (dataset, variant), row in sorted(last.items()):
        try:
            found += [] if row["removed"] else [_champion(row)]
        except (ValueError, TypeError) as error:
            store.broken[store.folder / "champions"] = f"what it says of {dataset}/{variant} cannot be read: {error}"
    return found


def _champion(row: Mapping[str, Any]) -> Champion:
    parsed = {name: json.loads(row[name]) for name in ("models", "graphs", "config")}
    parsed["rows"] = _ROWS.validate_json(row["rows"])
    return Champion(**{name: row[name] for name in Champion._fields if name not in parsed}, **parsed)


def _write(store: RunStore, slug: str, row: Mapping[str, Any]) -> None:
    now = datetime.now(UTC)
    store.write("champions", f"{slug}-{now:%Y%m%dT%H%M%S%f}", [{"removed": False, **row, "written_at": now}])
