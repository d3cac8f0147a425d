"""The root of every error that KD-GAT raises on purpose. The whole tree is drawn in `kdgat_models/errors.py`."""


class KdgatError(Exception):
    """Base of all errors whose message tells the user what to do next."""


class ConfigError(KdgatError, ValueError):
    """A setting is unknown, has the wrong type, or contradicts another."""


class PluginError(KdgatError):
    """Something that another package adds cannot be loaded, or is not what its kind asks for."""
