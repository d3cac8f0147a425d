"""How a detector does on recordings that other people made, with other tools."""

from collections.abc import Sequence

from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Fold, Protocol, leave_one_out


def dataset_folds(captures: Sequence[CaptureFacts]) -> list[Fold]:
    """One fold per dataset."""
    return leave_one_out(captures, "dataset")


CROSS_DATASET = Protocol(
    name="cross-dataset",
    version=1,
    states="Per dataset: trained on all other datasets, which may hold the same vehicles, tested on all of this one.",
    folds=dataset_folds,
)
