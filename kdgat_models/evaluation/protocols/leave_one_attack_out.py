"""How a detector does on a type of attack that it has never seen."""

from collections.abc import Sequence

from kdgat_models.evaluation.protocols.protocol import CaptureFacts, Fold, Protocol, distinct, make_fold


def attack_folds(captures: Sequence[CaptureFacts]) -> list[Fold]:
    """One fold per type of attack. Attack-free captures are for training; what shares content with a tested one is not."""
    folds = []
    for attack in distinct(capture.attack for capture in captures if capture.attack != "none"):
        test = [capture for capture in captures if capture.attack == attack]
        folds.append(make_fold(attack, [capture for capture in captures if capture.attack != attack], test))
    return folds


LEAVE_ONE_ATTACK_OUT = Protocol(
    name="leave-one-attack-out",
    version=2,
    states="Per attack type: trained on all captures without it, also of the same vehicles, tested on those with it. "
    "No synthetic attacks: some are like the one that must stay unknown.",
    folds=attack_folds,
    copies=False,
)
