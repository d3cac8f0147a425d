"""What a snapshot of importance costs, and what it is worth, by the number of points on the path of integrated gradients.

    python tests/benchmarks/importance.py ROOT [DATASET]

ROOT holds a finished `kdgat run`; each of its newest classifiers is explained as it is after its training. Seconds are CPU
time of this process. Kendall's tau-b and the top 10 are compared with those of 128 points. The error is that of completeness:
how far the sum of all features is from the difference of scores that it should be, as a share of that difference.
"""

import sys
import time
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from config.files import load_config
from config.paths import Paths, versions
from kdgat_models.explanation.explain import MOST_WINDOWS, explained_windows
from kdgat_models.explanation.integrated_gradients import attributions, baseline_of
from kdgat_models.graphs.dataset import GraphDataset
from kdgat_models.scoring.models import open_trained_on

POINTS = (4, 8, 16, 32)
EXACT = 128


def main() -> None:
    place = Paths(Path(sys.argv[1])).of(sys.argv[2] if len(sys.argv) > 2 else "demo")
    graphs = versions(place / "graphs")[-1]
    print("| classifier | points | CPU s | error | tau-b | same top 10 |\n|---|---|---|---|---|---|")
    for family in sorted(place.glob("gat_*")):
        folder = versions(family)[-1]
        dataset = GraphDataset(graphs, load_config(folder / "config.json").identity)
        network, data = open_trained_on(folder, dataset, "gat").network, dataset.train_data()
        windows = explained_windows(data.store, MOST_WINDOWS)
        baseline = baseline_of(network, data, windows[data.store.label[windows] == 0])

        def explained(points: int) -> tuple[float, float, np.ndarray]:
            began = time.process_time()
            found = attributions(network, data, windows, baseline, points)
            seconds, difference = time.process_time() - began, (found.score - found.baseline_score).abs()
            missing = (found.features.sum(1) - (found.score - found.baseline_score)).abs()
            return seconds, float(missing.sum() / difference.sum()), found.features.abs().mean(0).numpy()

        _, _, exact = explained(EXACT)
        for points in POINTS:
            seconds, error, importance = explained(points)
            shared = len(set(np.argsort(-importance)[:10]) & set(np.argsort(-exact)[:10]))
            tau = kendalltau(importance, exact).statistic
            print(f"| {family.name} | {points} | {seconds:.1f} | {error:.4f} | {tau:.3f} | {shared} of 10 |", flush=True)


if __name__ == "__main__":
    main()
