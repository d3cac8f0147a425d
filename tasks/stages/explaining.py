"""What a classifier counts on, found out right after its training: then it is in memory already."""

from pathlib import Path

import torch
from torch import nn

from config.errors import KdgatError
from kdgat_models.explanation.explain import explain_training
from kdgat_models.explanation.snapshots import IMPORTANCE
from kdgat_models.files import write_json
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.graphs.fold import FOLD, read_fold
from tasks.stages.events import say


def keep_importance(network: nn.Module, dataset: GraphDataset, seed: int, folder: Path) -> None:
    """Write the importance of every feature beside the checkpoint. No training fails for the lack of it: the log says why."""
    fold = read_fold(dataset.folder).name if (dataset.folder / FOLD).is_file() else None
    try:
        report = explain_training(network, dataset.train_data(), fold, seed)
    except (KdgatError, torch.OutOfMemoryError) as error:
        say(f"what its features count for is not known: {error}")
        return
    write_json(folder / IMPORTANCE, report.model_dump(mode="json"))
