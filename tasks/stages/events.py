"""What a stage says while it runs: one JSON object a line on standard output, read by `tasks.child`."""

import json
import sys
from typing import Any

from kdgat_models.training.state import EpochReport


def emit(event: str, **fields: Any) -> None:
    """Print an event."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


def emit_epoch(report: EpochReport) -> None:
    """Print the end of an epoch."""
    emit("epoch", **report._asdict())
