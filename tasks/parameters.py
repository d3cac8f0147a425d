"""Parameters that flows share: the types are the choices and the descriptions the help of Prefect's forms."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

Variant = Literal["large", "small_kd", "small_nokd"]
ModelName = Literal["vgae", "gat", "dqn"]
Distillation = Literal["with-kd", "no-kd"]

ALL_VARIANTS: tuple[Variant, ...] = ("large", "small_kd", "small_nokd")
ALL_MODELS: tuple[ModelName, ...] = ("vgae", "gat", "dqn")

Dataset = Annotated[str, Field(description="Name in the catalogue; `kdgat datasets` lists them.")]
DataDir = Annotated[Path | None, Field(description="Folder that holds DATASET/SPLIT/*.csv[.gz|.zst]; none for demo.")]
Variants = Annotated[tuple[Variant, ...], Field(description="large, distilled students, students without a teacher.")]
Models = Annotated[tuple[ModelName, ...], Field(description="What to train; dqn is the fusion.")]
Distillations = Annotated[
    tuple[Distillation, ...] | None, Field(description="For vgae, gat, dqn of small_kd; none: with-kd, with-kd, no-kd.")
]
Teachers = Annotated[dict[str, Path] | None, Field(description="Run folders of teachers by model; none: the newest large.")]
Overrides = Annotated[dict[str, Any] | None, Field(description="Settings by dotted name, such as training.lr.")]
BadRows = Annotated[Literal["error", "quarantine"], Field(description="Rows that are no frames: stop, or set them aside.")]
Runner = Annotated[Literal["local"], Field(description="Where stages run.")]
