"""What a stage says while it runs, in words: the same line stands in its own log and in the flow's."""

from collections.abc import Callable, Mapping
from typing import Any

Event = Mapping[str, Any]  # what `tasks.stages.events.emit` prints; "event" is its kind


def describe(event: Event) -> str:
    """One line about an event."""
    words = WORDS.get(event["event"])
    return words(event) if words else str(event.get("message", dict(event)))


def _started(event: Event) -> str:
    return f"started on {event['host']}" + (f" in job {event['job']}" if event["job"] else "")


def _distillation(event: Event) -> str:
    if not event["teacher"]:
        return "Knowledge Distillation: DISABLED"
    how = f"{event['name']}, T {event['temperature']:g}, alpha {event['alpha']:g}"
    return f"Knowledge Distillation: ENABLED ({how}, teacher {event['scale']} {event['model']} in {event['teacher']})"


def _windows(event: Event) -> str:
    """Statistics of the windows of one split."""
    kinds = ", ".join(f"{name} {windows:,}" for name, windows in event["attacks"].items())
    attack = f"{event['attack']:,} attack" + (f": {kinds}" if kinds else "")
    return (
        f"{event['split']}: {event['windows']:,} windows ({event['normal']:,} normal, {attack}), "
        f"{event['nodes']:,} nodes, {event['edges']:,} edges"
    )


def _epoch(event: Event) -> str:
    mark = " *" if event["best"] else ""
    validation = _figures({name: value for name, value in event["validation"].items() if name != "value"})
    extra = f" ({validation})" if validation else ""
    extra += f" in {event['parts']} parts per batch" if event["parts"] > 1 else ""
    return (
        f"epoch {event['epoch']}/{event['max_epochs']} train {event['train']['total']:.4g} "
        f"validation {event['validation']['value']:.4g}{extra} {event['seconds']:.1f} s{mark}"
    )


def _summary(event: Event) -> str:
    gpu = f"{event['gpu_memory_mb']:.0f} MB of GPU" if event["gpu_memory_mb"] else "no GPU"
    return (
        f"summary: best epoch {event['best_epoch']} of {event['epochs']} ({_figures(event['metrics'])}), "
        f"checkpoint {event['checkpoint']}, {event['parameters']:,} parameters, {event['train_seconds']:.1f} s of training, "
        f"{event['seconds']:.1f} s in all, peak memory {event['memory_mb']:.0f} MB of host, {gpu}"
    )


def _capture(event: Event) -> str:
    rejected = f", {event['rejected']} rows rejected" if event["rejected"] else ""
    return f"{event['split']}/{event['capture']}: {event['frames']:,} frames{rejected}"


def _graphs(event: Event) -> str:
    return f"{event['store']}: {event['windows']:,} windows of {event['frames']:,} frames"


def _ended(event: Event) -> str:
    return f"made {event['artifact']['kind']} {event['artifact']['digest']} in {event['artifact']['path']}"


def _figures(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


WORDS: dict[str, Callable[[Event], str]] = {
    "started": _started,
    "distillation": _distillation,
    "windows": _windows,
    "epoch": _epoch,
    "summary": _summary,
    "capture": _capture,
    "graphs": _graphs,
    "result": _ended,
    "failed": lambda event: f"failed: {event['message']}",
}
