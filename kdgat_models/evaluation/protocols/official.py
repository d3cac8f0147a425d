"""The protocol of a dataset's authors: trained on what they published to train on, tested on what they published to test on."""

from collections.abc import Sequence

from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Fold, Protocol, distinct, make_fold


def official_folds(captures: Sequence[CaptureFacts]) -> list[Fold]:
    """One fold per dataset that has test splits."""
    folds = []
    for dataset in distinct(capture.dataset for capture in captures):
        mine = [capture for capture in captures if capture.dataset == dataset]
        train, test = ([c for c in mine if c.role == role] for role in ("train", "test"))
        if test:
            folds.append(make_fold(dataset, train, test))
    return folds


OFFICIAL = Protocol(
    name="official",
    version=1,
    states="Per dataset: trained on its train splits, tested on its test splits, as published.",
    folds=official_folds,
)
