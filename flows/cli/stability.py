"""`kdgat stability`: whether trainings of a classifier count on the same features."""

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from config.errors import ConfigError
from config.plugins import find
from flows.cli.options import MODALITY, Json, Root, existing, name_broken
from flows.cli.show import show, table

if TYPE_CHECKING:
    from kdgat_models.explanation.agreement import Agreement
    from kdgat_models.explanation.importance import Feature
    from kdgat_models.explanation.snapshots import Origin, Snapshot


class By(StrEnum):
    """What tells the trainings that are compared apart."""

    seed = "seed"
    fold = "fold"
    retraining = "retraining"
    night = "night"


# Commands that make another snapshot.
RUN = f"`kdgat run --modality {MODALITY} --dataset {{dataset}}"
MORE = {
    By.seed: RUN + " --seed {seed}`",
    By.fold: f"`kdgat evaluate --modality {MODALITY} --protocol {{protocol}} --seeds {{seeds}}`",
    By.retraining: RUN + "` after a change of its captures or, with --set, of its settings",
    By.night: RUN + "` on another day, after a change of its captures or, with --set, of its settings",
}


def stability(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Only what this protocol trained.")] = None,
    variant: Annotated[str | None, typer.Option(help="Only the classifier of this variant.")] = None,
    by: Annotated[
        By, typer.Option(help="What tells the trainings that are compared apart; they are alike in all else.")
    ] = By.seed,
    top: Annotated[int, typer.Option(help="How many features are looked at as the most important.", min=1)] = 10,
    root: Root = Path("experiments"),
    as_json: Json = False,
) -> None:
    """Compare what classifiers count on: the importance of each feature after each training, over seeds, folds or time."""
    from kdgat_models.explanation.agreement import agreements
    from kdgat_models.explanation.snapshots import read_snapshots
    from kdgat_models.runs.store import RunStore
    from tasks.records.importances import classifier_of

    if protocol:
        find("protocols", protocol)
    store = RunStore(existing(root).store)
    everything = read_snapshots(store)
    asked = Asked(dataset, protocol, variant and classifier_of(variant))
    chosen = [item for item in everything if asked.matches(item.origin)]
    found = agreements(chosen, by.value, top)
    if not found:
        raise ConfigError(_too_few(everything, chosen, by, asked))
    if as_json:
        print(json.dumps([_as_json(item, by) for item in found], indent=2))
    else:
        for item in found:
            show(_table(item, by))
    name_broken(store)


class Asked(NamedTuple):
    """Which trainings are compared; None: whatever there is."""

    dataset: str | None
    protocol: str | None
    variant: str | None

    def matches(self, origin: "Origin") -> bool:
        """Whether a training is one of them."""
        return all(wanted in (None, getattr(origin, name)) for name, wanted in self._asdict().items())

    def __str__(self) -> str:
        if not any(self):
            return ""
        return f" of {self.protocol or self.dataset or 'any dataset'}/{self.variant or 'any variant'}"


def _too_few(everything: Sequence["Snapshot"], chosen: Sequence["Snapshot"], by: By, asked: Asked) -> str:
    """Why there is nothing to compare, and which command makes more."""
    known = sorted({f"{item.origin.protocol or item.origin.dataset}/{item.origin.variant}" for item in everything})
    there = f"; there are some of {', '.join(known)}" if known and not chosen else ""
    seed = max((item.origin.seed for item in chosen), default=-1) + 1
    protocol = asked.protocol or next((item.origin.protocol for item in chosen if item.origin.protocol), None)
    dataset = asked.dataset or next((item.origin.dataset for item in chosen), "demo")
    if protocol or by is By.fold:
        more = MORE[By.fold].format(protocol=protocol or "leave-one-vehicle-out", seeds=max(seed, 1) + 1)
    else:
        more = MORE[by].format(dataset=dataset, seed=seed)
    return (
        f"nothing to compare by {by}: {len(chosen)} snapshot(s) of importance{asked}, of which no two are alike in all else"
        f"{there}. Each training of a classifier makes one: {more}"
    )


def _table(item: "Agreement", by: By) -> Any:
    found = item.stability
    interval = found.interval and f"{found.interval.low:.3f} to {found.interval.high:.3f}"
    rows = {
        f"{by}s": ", ".join(item.members),
        f"Jaccard index of the top {found.top}": _figure(found.jaccard),
        "Kendall's tau-b": _figure(found.kendall),
        "stability index (Nogueira et al. 2018)": _figure(found.nogueira),
        "its 95 % interval": interval or "- (needs 3 or more)",
        f"always in the top {found.top}": "\n".join(_named(feature) for feature in item.always) or "none",
        "come and go": "\n".join(f"{_named(feature)} ({share:.0%})" for feature, share in item.sometimes) or "none",
    }
    title = f"{item.group.name}, {item.group.method.replace('_', ' ')}"
    return table(title, [{"": name, "value": value} for name, value in rows.items()])


def _as_json(item: "Agreement", by: By) -> dict[str, Any]:
    found, group = item.stability, item.group
    return {
        "dataset": group.dataset,
        "protocol": group.protocol,
        "variant": group.variant,
        "method": group.method,
        "seed": group.seed,
        "settings": group.settings,
        "fold": group.fold,
        "by": by.value,
        "members": list(item.members),
        "top": found.top,
        "jaccard": found.jaccard,
        "kendall": found.kendall,
        "nogueira": found.nogueira,
        "interval": list(found.interval) if found.interval else None,
        "always": [_named(feature) for feature in item.always],
        "sometimes": {_named(feature): share for feature, share in item.sometimes},
    }


def _named(feature: "Feature") -> str:
    return f"{feature.kind} {feature.name}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
