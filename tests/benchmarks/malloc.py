"""What Dask's nanny costs training by setting MALLOC_TRIM_THRESHOLD_ (tasks/execution/child.py): an epoch with and without.

python tests/benchmarks/malloc.py
"""

import os
import subprocess
import sys

EPOCH = """
import tempfile, torch
from pathlib import Path
from config import resolve
from kdgat_models.can.ingest import ingest_capture
from kdgat_models.can.simulate import write_demo
from kdgat_models.graphs.build import build_store, named
from kdgat_models.graphs.dataset import normal_training_vocabulary
from kdgat_models.graphs.store import GraphData, GraphStore
from kdgat_models.registry import build
from kdgat_models.training.loop import fit
from kdgat_models.training.vgae import VgaeObjective
folder = Path(tempfile.mkdtemp())
targets = []
for path in write_demo(folder / "raw"):
    if path.parent.name.startswith("train"):
        targets.append(folder / f"{path.stem}.parquet")
        ingest_capture(path, targets[-1])
config = resolve("vgae", "large", method="published", **{"training.max_epochs": 2})
build_store([named(target) for target in targets], folder / "graphs", config.preprocessing, training=True)
store = GraphStore(folder / "graphs")
data = GraphData(store, normal_training_vocabulary(store))
torch.set_num_threads(1)
network = build(config, data.vocabulary.num_ids, store.schema)
print(fit(VgaeObjective(network, data, config), config.training, 0).history[-1].seconds)
"""


def epoch_seconds(threshold: str | None) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "MALLOC_TRIM_THRESHOLD_"}
    if threshold:
        environment["MALLOC_TRIM_THRESHOLD_"] = threshold
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EPOCH], env=environment, capture_output=True, text=True, check=True
    )
    return float(run.stdout.splitlines()[-1])


if __name__ == "__main__":
    pairs = [(epoch_seconds(None), epoch_seconds("65536")) for _ in range(3)]
    for without, with_nanny in pairs:
        print(
            f"VGAE large, one epoch: {without:.2f} s, under Dask's setting {with_nanny:.2f} s, ratio {with_nanny / without:.2f}"
        )
