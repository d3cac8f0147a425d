"""What a training leaves of the features that it counted on."""

from datetime import UTC, datetime

import numpy as np

from kdgat_models.explanation.importance import Feature, ranked
from kdgat_models.explanation.snapshots import ImportanceReport

FEATURES = [Feature("node", "id_index"), Feature("node", "age"), Feature("edge", "age")]
REPORT = ImportanceReport(
    method="integrated_gradients",
    windows=40,
    fold=None,
    trained_at=datetime(2026, 1, 2, 23, 30, 5, 678901, UTC),
    importances=tuple(ranked(FEATURES, np.array([0.0, 2.5, 1.25]))),
)
