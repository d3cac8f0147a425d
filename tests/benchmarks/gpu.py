"""What a GPU is worth in training: seconds of an epoch, in half precision and in single, beside this machine's CPU.

python tests/benchmarks/gpu.py [SCALE]     SCALE multiplies the length of the simulated captures, 1 if it is left out
"""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any, NamedTuple

import numpy as np
import torch

from config.resolver import resolve
from config.schema import PipelineConfig
from config.sections import Method, ModelType
from kdgat_models.can.ingest import ingest_capture
from kdgat_models.can.simulate import write_demo
from kdgat_models.graphs.build import build_store, named
from kdgat_models.graphs.dataset import normal_training_vocabulary
from kdgat_models.graphs.splits import TRAIN
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.graphs.vocabulary import Vocabulary
from kdgat_models.networks.vgae import VGAE
from kdgat_models.registry import build
from kdgat_models.training.curriculum import AllWindows
from kdgat_models.training.gat import GatObjective
from kdgat_models.training.loop import fit
from kdgat_models.training.objective import Objective
from kdgat_models.training.vgae import VgaeObjective

METHODS: tuple[Method, ...] = ("relative", "published")
MODELS: tuple[ModelType, ...] = ("vgae", "gat")
WINDOWS = 2048  # of an epoch, at most
EPOCHS = 4  # of which the first is not timed: kernels are loaded in it


class Place(NamedTuple):
    """Where and in what precision a network trains."""

    name: str
    settings: dict[str, Any]


PLACES = (
    Place("GPU, half", {"training.device": "cuda", "training.amp": True}),
    Place("GPU, single", {"training.device": "cuda", "training.amp": False}),
    Place("CPU", {"training.device": "cpu", "training.amp_on_cpu": False}),
)


class Trained(NamedTuple):
    seconds: float  # of an epoch, with its validation
    steps: int
    windows: int  # of an epoch
    memory_mb: float
    busy: float  # share of the time in which the GPU works, in %
    value: float  # on validation windows, after the last epoch

    def text(self) -> str:
        speed = f"{self.seconds:>9.2f}{1000 * self.seconds / self.steps:>9.1f}{self.windows / self.seconds:>11,.0f}"
        return f"{speed}{self.value:>12.4f}" + (f"{self.memory_mb:>10,.0f}{self.busy:>5.0f}%" if self.memory_mb else "")


def main() -> None:
    scale = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; the CPU with {torch.get_num_threads()} threads")
    print(f"{'':<28}{'s/epoch':>9}{'ms/step':>9}{'windows/s':>11}{'validation':>12}{'peak MiB':>10}{'busy':>6}")
    with tempfile.TemporaryDirectory() as scratch:
        captures = ingested(Path(scratch), scale)
        for method in METHODS:
            data = prepared(Path(scratch) / method, captures, method)
            for model in MODELS:
                for place in PLACES:
                    row = trained(config_of(model, method, place), data)
                    print(f"{f'{model} {method}, {place.name}':<28}{row.text()}", flush=True)


def config_of(model: ModelType, method: Method, place: Place) -> PipelineConfig:
    settings = {
        "training.max_epochs": EPOCHS,
        "training.patience": EPOCHS,
        "training.min_steps_per_epoch": 1,
        "training.validation_windows": WINDOWS // 4,
        "curriculum.windows_per_epoch": WINDOWS,
    }
    return resolve(model, "large", method=method, **settings, **place.settings)


def ingested(folder: Path, scale: float) -> list[Path]:
    """The training captures of the demo."""
    targets = []
    for path in write_demo(folder / "raw", seconds_scale=scale):
        if path.parent.name.startswith("train"):
            targets.append(folder / f"{path.stem}.parquet")
            ingest_capture(path, targets[-1])
    return targets


def prepared(folder: Path, captures: Sequence[Path], method: Method) -> GraphData:
    """Their graphs, as a method wants them and without synthetic attacks."""
    config = resolve("vgae", "large", method=method)
    build_store([named(capture) for capture in captures], folder, config.preprocessing, training=True)
    store = GraphStore(folder)
    return GraphData(store, Vocabulary.seen_through(normal_training_vocabulary(store), config.identity))


def objective_of(config: PipelineConfig, data: GraphData) -> Objective[Any]:
    torch.manual_seed(0)
    network = build(config, data.vocabulary.num_ids, data.store.schema)
    if isinstance(network, VGAE):
        return VgaeObjective(network, data, config)
    normal, attack = (data.store.windows(TRAIN, label) for label in (0, 1))
    return GatObjective(network, data, config, AllWindows(normal, attack, config.curriculum))


def trained(config: PipelineConfig, data: GraphData) -> Trained:
    objective = objective_of(config, data)
    sizes: list[int] = []
    batches = objective.batches

    def counted(*arguments: Any) -> Any:
        made = list(batches(*arguments))
        sizes.append(sum(map(len, made)))
        return iter(made)

    objective.batches = counted  # type: ignore[method-assign]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    with Busy() as busy:
        result = fit(objective, config.training, 0)
    timed = result.history[1:]
    return Trained(
        median(report.seconds for report in timed),
        timed[0].steps,
        int(np.median(sizes[1:])),
        result.peak_gpu_memory_mb,
        mean(busy.shares) if busy.shares else 0.0,
        result.history[-1].validation["value"],
    )


class Busy:
    """What nvidia-smi says, five times a second, of the share of time in which a kernel runs."""

    QUERY = ("nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "200", "-i", "0")

    def __enter__(self) -> "Busy":
        self.shares: list[float] = []
        self.process = subprocess.Popen(self.QUERY, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read)
        self.thread.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.shares.extend(float(line) for line in self.process.stdout if line.strip().isdigit())

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait()
        self.thread.join()


if __name__ == "__main__":
    if not torch.cuda.is_available():
        print("torch sees no GPU on this machine, so there is nothing to measure.", file=sys.stderr)
        sys.exit(2)
    main()
