"""A stage that looks at graphs before anything is trained on them."""

from kdgat_models.errors import DatasetError
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.splits import TRAIN
from tasks.pipeline_stage import StageContext

LEAST = 0.001  # share of attacks


class ClassBalance:
    """A check: says how many of the windows that are learnt from are attacks, and ends the run if almost none are."""

    needs = ("graphs",)

    def can_skip(self, context: StageContext) -> bool:
        """It always looks."""
        return False

    def execute(self, context: StageContext) -> StageContext:
        """Raise a DatasetError if less than `LEAST` of the training windows are attacks."""
        store = GraphDataset(context.artifacts["graphs"].path).train
        normal, attack = (len(store.windows(TRAIN, label)) for label in (0, 1))
        share = attack / max(normal + attack, 1)
        if share < LEAST:
            raise DatasetError(f"{attack} of {normal + attack} training windows are attacks; add captures with attacks")
        return context.with_summary(training_windows=normal + attack, attack_share=round(share, 4))
