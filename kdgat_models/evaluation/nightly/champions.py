"""Champions: the models that are watched every night. One row per registration or removal; the last row of a name holds."""

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from config.settings import Settings
from kdgat_models.evaluation.rows import EvaluationRow, StoredRow
from kdgat_models.runs.store import RunStore
from kdgat_models.runs.tables import ChampionRow

_ROWS = TypeAdapter(tuple[StoredRow, ...])


class Champion(NamedTuple):
    """One registered detector."""

    dataset: str  # that it was trained on
    variant: str
    models: dict[str, Any]  # vgae, gat, fusion -> JSON of the Artifact, or None
    graphs: dict[str, Any]  # JSON of the Artifact that it was trained on
    raw: str  # folder of the captures that it was trained on
    config: Settings
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
    row = ChampionRow(
        dataset=champion.dataset,
        variant=champion.variant,
        models=json.dumps(champion.models),
        graphs=json.dumps(champion.graphs),
        config=json.dumps(champion.config),
        rows=json.dumps([row.as_json() for row in champion.rows]),
        raw=champion.raw,
        registered_at=champion.registered_at,
        removed=False,
        written_at=datetime.now(UTC),
    )
    _write(store, champion.slug, row)


def remove(store: RunStore, dataset: str, variant: str) -> bool:
    """Watch the champion no longer; returns whether there was one."""
    found = [champion for champion in champions(store) if (champion.dataset, champion.variant) == (dataset, variant)]
    for champion in found:
        _write(store, champion.slug, ChampionRow(dataset=dataset, variant=variant, removed=True, written_at=datetime.now(UTC)))
    return bool(found)


def champions(store: RunStore) -> list[Champion]:
    """All registered champions, by name."""
    last = {(row.dataset, row.variant): row for row in store.rows(ChampionRow)}
    found = []
    for (dataset, variant), row in sorted(last.items()):
        try:
            found += [] if row.removed else [_champion(row)]
        except (ValueError, TypeError) as error:
            store.broken[store.folder / "champions"] = f"what it says of {dataset}/{variant} cannot be read: {error}"
    return found


def _champion(row: ChampionRow) -> Champion:
    texts = (row.models, row.graphs, row.config, row.rows)
    if row.raw is None or row.registered_at is None or None in texts:
        raise ValueError("it lacks what a champion is made of")
    models, graphs, config = (json.loads(text or "") for text in texts[:3])
    rows = _ROWS.validate_json(row.rows or "")
    return Champion(row.dataset, row.variant, models, graphs, row.raw, config, rows, row.registered_at)


def _write(store: RunStore, slug: str, row: ChampionRow) -> None:
    store.write(ChampionRow, f"{slug}-{row.written_at:%Y%m%dT%H%M%S%f}", [row])
