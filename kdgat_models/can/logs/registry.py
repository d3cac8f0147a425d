"""Log formats by name; each is one file beside `blf.py` and a line in `config/registry.py`, or of another package."""

from config.plugins import load, names
from kdgat_models.can.logs.log_format import LogFormat


def log_formats() -> list[LogFormat]:
    """All formats.

    Raises:
        PluginError: a package that adds one cannot be imported.
    """
    return [load("log_formats", name) for name in names("log_formats")]
