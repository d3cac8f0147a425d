"""Feature schemas by name. A new schema is one file beside `reference.py` and one line in `SCHEMAS`."""

from kdgat_models.errors import SchemaError
from kdgat_models.graphs.reference import REFERENCE
from kdgat_models.graphs.relative import RELATIVE
from kdgat_models.graphs.schema import FeatureSchema

SCHEMAS: dict[str, FeatureSchema] = {schema.name: schema for schema in (REFERENCE, RELATIVE)}


def feature_schema(name: str) -> FeatureSchema:
    """The schema called `name`; a SchemaError lists all otherwise."""
    if name not in SCHEMAS:
        raise SchemaError(f"unknown feature schema {name!r}; there are: {', '.join(SCHEMAS)}")
    return SCHEMAS[name]
