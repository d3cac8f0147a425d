"""Settings whose values are names of a registry: what may be chosen is what is there, also by plug-ins."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from config.errors import ConfigError
from config.plugins import Registered, find, names
from config.registry import Kind


@dataclass(frozen=True)
class OneOf:
    """Marks a text as the name of something of a kind: `Annotated[str, OneOf("convolutions")]`.

    A name that is not there is an error that lists all. The names are the `enum` of the JSON schema, so that forms, help and
    the page of settings offer them.
    """

    kind: Kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "enum": names(self.kind)}

    def _known(self, name: str) -> str:
        try:
            find(self.kind, name)
        except ConfigError as error:
            raise PydanticCustomError("unknown_name", "{message}", {"message": str(error)}) from error
        return name


Convolution = Annotated[str, OneOf("convolutions")]
Network = Annotated[str, OneOf("networks")]
Pooling = Annotated[str, OneOf("poolings")]
Loss = Annotated[str, OneOf("losses")]
FusionMethod = Annotated[str, OneOf("fusion")]
FeatureSchema = Annotated[str, OneOf("feature_schemas")]
Reader = Annotated[str, OneOf("readers")]
Protocol = Annotated[str, OneOf("protocols")]


def chosen(record: BaseModel, fields: Collection[str] | None = None) -> Iterator[Registered]:
    """Everything that a record, and the records in it, choose by name; of some `fields` only, if they are given."""
    for field, info in type(record).model_fields.items():
        value = getattr(record, field)
        if fields is not None and field not in fields:
            continue
        if isinstance(value, BaseModel):
            yield from chosen(value)
            continue
        for mark in _marks(info.annotation, info.metadata):
            for name in (value,) if isinstance(value, str) else tuple(value or ()):
                yield find(mark.kind, name)


def _marks(annotation: Any, metadata: list[Any]) -> Iterator[OneOf]:
    """The `OneOf` of a field, also of one that may be left out or holds several names."""
    yield from (mark for mark in metadata if isinstance(mark, OneOf))
    for part in get_args(annotation):
        if isinstance(part, OneOf):
            yield part
        else:
            yield from _marks(part, [])
