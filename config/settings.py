"""Settings as files and commands give them, before they are a config: values that YAML and JSON have, by name."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Setting: TypeAlias = "str | float | Sequence[Setting] | Mapping[str, Setting] | None"  # float: also int and bool
Settings: TypeAlias = dict[str, Setting]  # by dotted name, or by section


def section(values: Mapping[str, Setting], name: str) -> Mapping[str, Setting]:
    """The settings of the section `name`; none where it is missing, or is no section."""
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
