"""Shared fixtures. Everything here is real: simulated traffic goes through the real readers, graphs and networks."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from config.resolver import resolve
from config.schema import PipelineConfig
from kdgat_models.can.ingest import ingest_capture
from kdgat_models.can.simulate import write_demo
from kdgat_models.graphs.dataset import GraphDataset
from tasks.artifact import Artifact
from tasks.raw import raw_artifact
from tasks.stages.graphs import build as graphs
from tasks.stages.ingest import ingest

settings.register_profile("no deadline", deadline=None)  # no result depends on how busy the machine is
settings.load_profile("no deadline")

# Networks that train in a second; what is tested is the machinery, not the detection.
TINY = {
    "vgae.hidden": (32, 16, 8),
    "vgae.heads": 2,
    "vgae.decoder_heads": 2,
    "vgae.embedding_dim": 4,
    "gat.hidden": 8,
    "gat.layers": 2,
    "gat.heads": 2,
    "gat.embedding_dim": 4,
    "dqn.hidden": 32,
    "dqn.layers": 1,
    "dqn.epsilon_decay_steps": 20,
    "training.max_epochs": 3,
    "training.min_steps_per_epoch": 5,
    "augmentation.copies": 1,
    "curriculum.epochs": 2,
    "curriculum.windows_per_epoch": 256,
    "fusion.max_epochs": 3,
    "fusion.steps_per_epoch": 10,
}

# What TINY says of these would stand above the method.
PUBLISHED = {"method": "published", "augmentation.copies": 0, "curriculum.windows_per_epoch": 1000000}


def tiny(model: str = "vgae", scale: str = "large", auxiliary: str = "none", **more: object) -> PipelineConfig:
    return resolve(model, scale, auxiliary, **{**TINY, "dataset": "demo", **more})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole pipelines first: with two workers, what takes minutes must not be what is left at the end.

    What tries the same lines with hundreds of inputs runs without coverage, which would take two to three times as long.
    """
    items.sort(key=lambda item: "tests/flows/" not in item.path.as_posix())
    for item in items:
        if is_hypothesis_test(getattr(item, "obj", None)) or item.get_closest_marker("slow"):
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def demo_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo dataset as CSV, at half length."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder, seed=0, seconds_scale=0.5)
    return folder


@pytest.fixture(scope="session")
def demo_captures(demo_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The captures artifact of the demo dataset."""
    return ingest(tiny(), tmp_path_factory.mktemp("prepared") / "captures", raw_artifact("demo", demo_csv), "error")


@pytest.fixture(scope="session")
def demo_graphs(demo_captures: Artifact) -> Artifact:
    """The graphs artifact of the demo dataset, as the default method wants it."""
    return graphs(tiny(), demo_captures.path.parent / "graphs", demo_captures)


@pytest.fixture(scope="session")
def dataset(demo_graphs: Artifact) -> GraphDataset:
    return GraphDataset(demo_graphs.path, tiny().identity)


@pytest.fixture(scope="session")
def published_dataset(demo_captures: Artifact) -> GraphDataset:
    """The same dataset as the published method wants it."""
    config = tiny(**PUBLISHED)
    made = graphs(config, demo_captures.path.parent / "published_graphs", demo_captures)
    return GraphDataset(made.path, config.identity)


@pytest.fixture
def capture(tmp_path: Path):
    """A function that writes text into a file and ingests it."""

    def write_and_ingest(text: str | bytes, name: str = "capture.csv", **options: object):
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return ingest_capture(path, tmp_path / "out" / "capture.parquet", **options)  # type: ignore[arg-type]

    return write_and_ingest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Two threads on two shared cores are slower than one, and results depend on their number."""
    import torch

    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="module", autouse=True)
def on_the_cpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Also where there is a GPU: results are the same to the last digit on a CPU alone. test_cuda.py is about the GPU."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name != "test_cuda.py":
            patch.setattr("torch.cuda.is_available", lambda: False)
        yield
