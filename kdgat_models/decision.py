"""What was chosen on calibration windows: when a score means an attack, how sure it is, how scores of two models compare."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from kdgat_models.errors import CheckpointError

F1 = "f1"  # the rule whose threshold every model has
TEMPERATURE, NORMAL_UPPER = "temperature", "normal_upper"


class ScoreScale(NamedTuple):
    """Maps a model's score to [0, 1] with 0.5 at its threshold: sigmoid((score - threshold) / scale)."""

    threshold: float
    scale: float

    @classmethod
    def of(cls, threshold: float, normal_scores: NDArray[np.float64]) -> "ScoreScale":
        """The scale is the spread of the scores of normal validation windows."""
        return cls(threshold, max(float(np.std(normal_scores)), 1e-6))

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        exponent = np.maximum((np.asarray(scores) - self.threshold) / self.scale, -30)  # exp(1e9) would overflow
        return (1 / (1 + np.exp(-exponent))).astype(np.float32)


class DetectorScores(NamedTuple):
    """Scores of one model on some windows, its threshold, and the temperature that makes log-odds of its scores."""

    model: str
    scores: NDArray[np.float64]
    threshold: float
    temperature: float | None = None


@dataclass(frozen=True)
class Decision:
    """How a model's score becomes a verdict. In files it is flat: `f1`, `fpr_0.01`, `temperature`, `gat_threshold`, ..."""

    thresholds: Mapping[str, float]  # by decision rule: at or above it, a window is an attack
    temperature: float | None = None  # of a score that is a log-odds: its probability is sigmoid(score / temperature)
    normal_upper: float | None = None  # 99th percentile of the scores of normal calibration windows, for adaptation
    scales: Mapping[str, ScoreScale] = field(default_factory=dict[str, ScoreScale])  # of a fusion: of its base models' scores

    @classmethod
    def read(cls, values: Mapping[str, float]) -> Self:
        """From how it stands in a file."""
        parts = [(f"{name}_threshold", f"{name}_scale", name) for name in _models(values)]
        scales = {name: ScoreScale(values[threshold], values[scale]) for threshold, scale, name in parts}
        others = {TEMPERATURE, NORMAL_UPPER, *(part for threshold, scale, _ in parts for part in (threshold, scale))}
        thresholds = {name: value for name, value in values.items() if name not in others}
        return cls(thresholds, values.get(TEMPERATURE), values.get(NORMAL_UPPER), scales)

    def flat(self) -> dict[str, float]:
        """As it stands in a file."""
        scaled = {f"{name}_{part}": value for name, scale in self.scales.items() for part, value in scale._asdict().items()}
        single = {TEMPERATURE: self.temperature, NORMAL_UPPER: self.normal_upper}
        known = {name: value for name, value in single.items() if value is not None}
        return {**self.thresholds, **known, **scaled}

    def threshold(self, rule: str = F1) -> float:
        """The threshold of a decision rule.

        Raises:
            CheckpointError: the model has none for this rule; says for which it has.
        """
        if rule not in self.thresholds:
            raise CheckpointError(
                f"there is no threshold {rule!r}; there are: {', '.join(self.thresholds)}. Train the model again, or choose "
                "another decision.rule"
            )
        return self.thresholds[rule]

    def scales_of(self, models: Iterable[str]) -> dict[str, ScoreScale]:
        """The scales of these base models.

        Raises:
            CheckpointError: there is none of one of them.
        """
        missing = [name for name in models if name not in self.scales]
        if missing:
            raise CheckpointError(f"there is no scale for the scores of {', '.join(missing)}. Train the fusion again")
        return {name: self.scales[name] for name in models}


def _models(values: Mapping[str, float]) -> list[str]:
    """Names of the base models whose scale is there, whole."""
    named = [name.removesuffix("_scale") for name in values if name.endswith("_scale")]
    return [name for name in named if f"{name}_threshold" in values]
