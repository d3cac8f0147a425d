"""Types of the parameters that flows share: what is a choice here is a choice in Prefect's forms."""

from pathlib import Path
from typing import Any, Literal

Variant = Literal["large", "small_kd", "small_nokd"]
ModelName = Literal["vgae", "gat", "dqn"]
Distillation = Literal["with-kd", "no-kd"]
BadRows = Literal["error", "quarantine"]
Runner = str
Overrides = dict[str, Any] | None
Teachers = dict[str, Path] | None

ALL_VARIANTS: tuple[Variant, ...] = ("large", "small_kd", "small_nokd")
ALL_MODELS: tuple[ModelName, ...] = ("vgae", "gat", "dqn")
