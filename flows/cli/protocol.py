"""`kdgat evaluate` by a protocol: run it, and print its tables."""

import json
from typing import Any

from config.paths import Paths, default_root
from flows.cli.options import start_flow
from flows.cli.show import show, table
from kdgat_models.files import read_json


def evaluate(asked: dict[str, Any], seeds: int, as_json: bool) -> None:
    """Check what was asked before anything starts, run it, print the summary of its report."""
    from tasks.plans.protocol import plan_protocol

    plan_protocol(asked["protocol"], asked["data_dir"], asked["datasets"], asked["overrides"], Paths(default_root()))
    from tasks.stages.reports import REPORT

    (report,) = start_flow("evaluate_protocol", "evaluate_protocol", {**asked, "seeds": seeds}, as_json)
    if as_json:
        print(json.dumps({**read_json(report.path / REPORT), "path": str(report.path)}, indent=2))
        return
    show((report.path / "report.md").read_text())
    show(table("Written", [{"what": "report (report.md, report.json, windows)", "path": str(report.path)}]))
