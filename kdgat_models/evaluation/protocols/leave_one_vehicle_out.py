"""How a detector does on a vehicle that it has never seen."""

from collections.abc import Sequence

from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Fold, Protocol, leave_one_out


def vehicle_folds(captures: Sequence[CaptureFacts]) -> list[Fold]:
    """One fold per vehicle."""
    return leave_one_out(captures, "vehicle")


LEAVE_ONE_VEHICLE_OUT = Protocol(
    name="leave-one-vehicle-out",
    version=1,
    states="Per vehicle: trained on all captures of all other vehicles, tested on all captures of this one.",
    folds=vehicle_folds,
)
