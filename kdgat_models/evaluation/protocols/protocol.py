"""What a protocol is: a rule that turns captures into folds, so that a figure says how a detector does on unseen traffic."""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple


class CaptureFacts(NamedTuple):
    """What a protocol has to know of a capture."""

    name: str  # DATASET/SPLIT/CAPTURE
    dataset: str
    role: str  # train or test, of its split as published
    vehicle: str
    attack: str  # none in an attack-free capture
    group: str  # captures of one group share content


class Overlap(NamedTuple):
    """Two captures and the share of the n-grams of one of them, of which it has fewer, that the other has, too.

    It is no share of frames: each frame that was inserted or removed breaks up to n n-grams. A drive that lost one ID, a
    twentieth of its frames and nothing else, has a share of about a half with what it was.
    """

    first: str
    second: str
    share: float


class Fold(NamedTuple):
    """One training and what it is tested on; the names are those of captures."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    left_out: dict[str, str]  # captures that are neither, with the reason


class Protocol(NamedTuple):
    """A way to make folds. `version` is raised whenever the same captures would make other folds."""

    name: str
    version: int
    states: str  # what is trained on what, for people
    folds: Callable[[Sequence[CaptureFacts]], list[Fold]]
    copies: bool = True  # whether copies of the training captures, with synthetic attacks, are learnt from


def make_fold(name: str, train: Sequence[CaptureFacts], test: Sequence[CaptureFacts]) -> Fold:
    """A fold whose training captures share no content with its test captures; `left_out` names those that do."""
    groups = {capture.group: capture.name for capture in test}
    shared = {c.name: f"shares content with {groups[c.group]}" for c in train if c.group in groups}
    chosen = tuple(c.name for c in train if c.name not in shared)
    return Fold(name, chosen, tuple(c.name for c in test), shared)


def leave_one_out(captures: Sequence[CaptureFacts], field: Literal["dataset", "vehicle"]) -> list[Fold]:
    """One fold per value of `field`: trained on the captures of all other values, tested on those of this one."""
    values = distinct(getattr(capture, field) for capture in captures)
    sides = [([c for c in captures if getattr(c, field) != v], [c for c in captures if getattr(c, field) == v]) for v in values]
    return [make_fold(value, train, test) for value, (train, test) in zip(values, sides, strict=True)]


def distinct(values: Iterable[str]) -> list[str]:
    """The values, each once, in alphabetical order."""
    return sorted(set(values))
