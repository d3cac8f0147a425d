"""The variants of the method: the scale that is trained, and which of its models learn from a teacher."""

from collections.abc import Collection
from typing import Literal, NamedTuple

from config.sections import ModelType, Scale

VariantName = Literal[
    "large",
    "small_kd",
    "small_kd_vgae",
    "small_kd_gat",
    "small_nokd",
    "tiny_kd",
    "tiny_kd_vgae",
    "tiny_kd_gat",
    "tiny_nokd",
]
DISTILLABLE: tuple[ModelType, ...] = ("vgae", "gat")


class Variant(NamedTuple):
    """One way to make the three models."""

    name: VariantName
    scale: Scale
    distilled: tuple[ModelType, ...]  # models that learn from a large one


# Teachers first: the others may learn from them.
VARIANTS: dict[str, Variant] = {
    variant.name: variant
    for variant in (
        Variant("large", "large", ()),
        Variant("small_kd", "small", DISTILLABLE),
        Variant("small_kd_vgae", "small", ("vgae",)),
        Variant("small_kd_gat", "small", ("gat",)),
        Variant("small_nokd", "small", ()),
        Variant("tiny_kd", "tiny", DISTILLABLE),
        Variant("tiny_kd_vgae", "tiny", ("vgae",)),
        Variant("tiny_kd_gat", "tiny", ("gat",)),
        Variant("tiny_nokd", "tiny", ()),
    )
}
DEFAULT_VARIANTS: tuple[VariantName, ...] = ("large", "small_kd", "small_nokd")
MEANINGS = (
    "large (teachers); small_kd and tiny_kd (distilled), small_kd_vgae, small_kd_gat, tiny_kd_vgae and tiny_kd_gat (only "
    "that model distilled); small_nokd and tiny_nokd (without a teacher)"
)


def variant_of(scale: Scale, distilled: Collection[str]) -> Variant:
    """The variant of `scale` in which exactly these models are distilled."""
    return next(variant for variant in VARIANTS.values() if variant.scale == scale and set(variant.distilled) == set(distilled))
