"""Formats by name; each is one file beside `four_column_csv.py` and a line in `config/registry.py`, or of a package."""

from config.errors import ConfigError
from config.plugins import load
from kdgat_models.can.readers.format import Format
from kdgat_models.errors import CaptureError


def reader_named(name: str) -> Format:
    """The format called `name`.

    Raises:
        CaptureError: there is none; lists all.
        PluginError: the package that adds it cannot be imported.
    """
    try:
        return load("readers", name)
    except ConfigError as error:
        raise CaptureError(f"{error}; see `readers` of the dataset in the catalogue") from error
