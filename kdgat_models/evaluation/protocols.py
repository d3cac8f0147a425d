"""Protocols: what is trained on what, so that a figure says how a detector does on what it has never seen.

A protocol turns captures into folds. Whatever the protocol, captures that share content with a test capture (see
`kdgat_models.evaluation.audit`) are kept out of training, and every fold says which and why.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from config.errors import ConfigError
from kdgat_models.errors import DatasetError


class CaptureFacts(NamedTuple):
    """What a protocol has to know of a capture."""

    name: str  # DATASET/SPLIT/CAPTURE
    dataset: str
    role: str  # train or test, of its split as published
    vehicle: str
    attack: str  # none in an attack-free capture
    group: str  # captures of one group share content


class Fold(NamedTuple):
    """One training and what it is tested on; the names are those of captures."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    left_out: dict[str, str]  # captures that are neither, with the reason


class Protocol(NamedTuple):
    """`version` is raised whenever the same captures would make other folds."""

    name: str
    version: int
    states: str
    folds: Callable[[Sequence[CaptureFacts]], list[Fold]]
    copies: bool = True  # whether copies of the training captures, with synthetic attacks, are learnt from


def _fold(name: str, train: Sequence[CaptureFacts], test: Sequence[CaptureFacts]) -> Fold:
    """Drop from `train` what shares content with `test`."""
    groups = {capture.group: capture.name for capture in test}
    shared = {c.name: f"shares content with {groups[c.group]}" for c in train if c.group in groups}
    chosen = tuple(c.name for c in train if c.name not in shared)
    return Fold(name, chosen, tuple(c.name for c in test), shared)


def official(captures: Sequence[CaptureFacts]) -> list[Fold]:
    folds = []
    for dataset in _values(capture.dataset for capture in captures):
        mine = [capture for capture in captures if capture.dataset == dataset]
        train, test = ([c for c in mine if c.role == role] for role in ("train", "test"))
        if test:
            folds.append(_fold(dataset, train, test))
    return folds


def leave_one_vehicle_out(captures: Sequence[CaptureFacts]) -> list[Fold]:
    return _leave_one_out(captures, "vehicle")


def cross_dataset(captures: Sequence[CaptureFacts]) -> list[Fold]:
    return _leave_one_out(captures, "dataset")


def leave_one_attack_out(captures: Sequence[CaptureFacts]) -> list[Fold]:
    """Attack-free captures are for training; what shares content with a tested one is not."""
    folds = []
    for attack in _values(capture.attack for capture in captures if capture.attack != "none"):
        test = [capture for capture in captures if capture.attack == attack]
        folds.append(_fold(attack, [capture for capture in captures if capture.attack != attack], test))
    return folds


def _leave_one_out(captures: Sequence[CaptureFacts], field: str) -> list[Fold]:
    values = _values(getattr(capture, field) for capture in captures)
    sides = [([c for c in captures if getattr(c, field) != v], [c for c in captures if getattr(c, field) == v]) for v in values]
    return [_fold(value, train, test) for value, (train, test) in zip(values, sides, strict=True)]


def _values(values: object) -> list[str]:
    return sorted(set(values))  # type: ignore[call-overload]


PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "official",
            1,
            "Per dataset: trained on its train splits, tested on its test splits, as published.",
            official,
        ),
        Protocol(
            "leave-one-vehicle-out",
            1,
            "Per vehicle: trained on all captures of all other vehicles, tested on all captures of this one.",
            leave_one_vehicle_out,
        ),
        Protocol(
            "leave-one-attack-out",
            2,
            "Per attack type: trained on all captures without it, also of the same vehicles, tested on those with it. "
            "No synthetic attacks: some are like the one that must stay unknown.",
            leave_one_attack_out,
            copies=False,
        ),
        Protocol(
            "cross-dataset",
            1,
            "Per dataset: trained on all other datasets, which may hold the same vehicles, tested on all of this one.",
            cross_dataset,
        ),
    )
}


def make_folds(protocol: str, captures: Sequence[CaptureFacts]) -> list[Fold]:
    """Folds of `protocol` over `captures`.

    Raises:
        ConfigError: there is no such protocol.
        DatasetError: the captures make no fold with attacks and normal traffic to train on.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"unknown protocol {protocol!r}; there are: {', '.join(PROTOCOLS)}")
    attacks = {capture.name for capture in captures if capture.attack != "none"}
    folds = [f for f in PROTOCOLS[protocol].folds(captures) if attacks & set(f.train)]
    if not folds:
        raise DatasetError(
            f"{protocol} needs captures on both sides, with attacks to train on; of {len(captures)} captures no such fold "
            "can be made. Add captures of another vehicle, or a test split"
        )
    return folds
