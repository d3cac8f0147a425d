"""Feature schemas by name; each is one file beside `reference.py` and a line in `config/registry.py`, or of a package."""

from config.errors import ConfigError
from config.plugins import load
from kdgat_models.errors import SchemaError
from kdgat_models.graphs.schema import FeatureSchema


def feature_schema(name: str) -> FeatureSchema:
    """The schema called `name`.

    Raises:
        SchemaError: there is none; lists all.
        PluginError: the package that adds it cannot be imported.
    """
    try:
        return load("feature_schemas", name)
    except ConfigError as error:
        raise SchemaError(str(error)) from error
