"""Types of the parameters that flows share: what is a choice here is a choice in Prefect's forms, and refused otherwise."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from config.ablation import FACTORS
from config.catalog import catalog
from config.choices import Protocol
from config.cluster import profile_files
from config.legacy import current_model_type
from config.sections import ModelType, ResourcesConfig
from config.variants import VariantName

Variant = VariantName
ModelName = Annotated[ModelType, BeforeValidator(current_model_type)]
Distillation = Literal["with-kd", "no-kd"]
Teachers = dict[str, Path] | None
ProtocolName = Protocol
Overrides = dict[str, Any] | None
Resources = ResourcesConfig | None

ALL_MODELS: tuple[ModelType, ...] = get_args(ModelType)

# The catalogue and the profiles are files, so their choices are made when the flow is loaded. The form offers them and the
# server refuses others; commands check again, with words.
DatasetName = Annotated[str, Field(json_schema_extra={"enum": list(catalog())})]
FactorName = Annotated[str, Field(json_schema_extra={"enum": list(FACTORS)})]
RUNNERS = ("local", "slurm", *(f"slurm:{name}" for name in profile_files()))
Runner = Annotated[str, Field(json_schema_extra={"enum": list(RUNNERS)})]
