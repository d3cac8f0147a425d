"""What never happens twice at once: training the same variant of the same dataset.

The limit is a lock of the kernel's below the root, not a slot of Prefect's server: it is free again when its holder is killed,
and it holds between runs that report to different servers.
"""

from collections.abc import Sequence

from filelock import FileLock, Timeout
from prefect.logging import get_run_logger

from config.paths import Paths
from tasks.execution.task_runner import current_runner

POLL_S = 1.0


def one_at_a_time(paths: Paths, what: str, dataset: str, variants: Sequence[str]) -> None:
    """Wait until nobody else does `what` with any of these variants of `dataset`, and keep others waiting.

    They wait until this flow has ended and nothing of it runs any more, wherever its workers are.
    """
    folder = paths.cache / "limits"
    folder.mkdir(parents=True, exist_ok=True)
    for variant in sorted(variants):  # everybody in the same order: nobody waits for somebody who waits for him
        lock = FileLock(folder / f"{what}-{dataset}-{variant}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            get_run_logger().info("another run %ss %s %s: waiting for it to end", what, dataset, variant)
            lock.acquire(poll_interval=POLL_S)
        current_runner().at_the_end(lock.release)
