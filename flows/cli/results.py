"""What a run prints at its end: metrics, and where everything lies."""

import json
import os
from typing import Any

from config.paths import Paths, default_root, without_password
from flows.cli.show import results_table, show, table


def print_results(evaluations: list[Any], as_json: bool) -> None:
    """Print what evaluations came to, as tables or as JSON, and how to use the students that they left as bundles."""
    from kdgat_models.bundle import STUDENT
    from tasks.stages.reports import read_metrics

    reports = [read_metrics(artifact.path) for artifact in evaluations]
    bundles = [str(item.path / STUDENT) if (item.path / STUDENT).is_file() else None for item in evaluations]
    if as_json:
        rows = zip(reports, evaluations, bundles, strict=True)
        made = [{**report.as_json(), "path": str(item.path), "bundle": bundle} for report, item, bundle in rows]
        print(json.dumps(made, indent=2))
        return
    show(results_table(reports) if reports else "Nothing was evaluated: the pipeline of this run has no evaluation.")
    paths = Paths(default_root())
    written = [{"what": f"evaluation {item.summary['variant']}", "path": str(item.path)} for item in evaluations]
    students = zip(evaluations, bundles, strict=True)
    written += [{"what": f"bundle {item.summary['variant']}", "path": bundle} for item, bundle in students if bundle]
    written += [
        {"what": "run store (DuckDB over Parquet)", "path": str(paths.store)},
        {"what": "MLflow", "path": without_password(paths.tracking_uri)},
        {"what": "Prefect", "path": os.environ["PREFECT_HOME"]},
    ]
    show(table("Written", written))
    if any(bundles):
        print("use a bundle: kdgat detect FILE --model BUNDLE")
