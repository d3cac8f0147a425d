"""A small classifier as a checkpoint, and windows of simulated traffic."""

import numpy as np
import torch

from config import resolve
from kdgat_models.can.frames import Frames
from kdgat_models.can.simulate import Episode, simulate_capture
from kdgat_models.checkpoint import Checkpoint
from kdgat_models.decision import Decision
from kdgat_models.graphs.memory import StreamStore
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.store import GraphData
from kdgat_models.graphs.stream import GraphStream
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.networks.classifier import classify
from kdgat_models.registry import build


def capture(seconds=20.0, attack="fuzzing", seed=0) -> Frames:
    """A drive with attacks."""
    traffic = simulate_capture(Episode("export", "alpha", attack, seconds), seed)
    kinds = (np.float64, np.uint32, np.uint8, np.uint8, np.uint8)
    return Frames(*(column.astype(kind) for column, kind in zip(traffic, kinds, strict=True)))


def data_of(frames: Frames) -> GraphData:
    """The windows of a capture, as a model reads them."""
    (graphs,) = GraphStream("export", RELATIVE, 100, 100).push(frames)
    return GraphData(StreamStore("export", RELATIVE, graphs), Vocabulary(()))


def checkpoint(data: GraphData, scale="tiny", **options) -> Checkpoint:
    """A classifier whose statistics are those of some windows; its threshold parts them."""
    config = resolve("gat", scale, **options)
    torch.manual_seed(0)
    network = build(config, data.vocabulary.num_ids, RELATIVE.describe()).train()
    every = np.arange(len(data.store))
    with torch.no_grad():
        for _ in range(20):
            classify(network, data.batch(every))
        logits = classify(network.eval(), data.batch(every)).logits
    middle = float((logits[:, 1] - logits[:, 0]).median())
    return Checkpoint(config, RELATIVE.describe(), data.vocabulary, Decision({"f1": middle}, 1.5), network.state_dict())
