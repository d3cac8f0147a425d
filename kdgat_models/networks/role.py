"""What networks are for: a classifier cannot stand where an autoencoder must."""

from typing import Any, Literal

from config.errors import ConfigError, PluginError
from config.plugins import find, load, names

Role = Literal["classifier", "autoencoder"]
CLASSIFIER: Role = "classifier"
AUTOENCODER: Role = "autoencoder"


def network_class(setting: str, name: str, role: Role) -> Any:
    """The class of networks called `name`, which must say that it has this role.

    Args:
        setting: Which setting names it, for the message of an error.
        name: In the registry.
        role: What the setting needs.

    Raises:
        ConfigError: there is no such network, or it has another role; names those that have this one.
        PluginError: the package that adds it cannot be imported.
    """
    found = load("networks", name)
    if _role(found) != role:
        fit = [other for other in names("networks") if other != name and _fits(other, role)]
        raise ConfigError(
            f"{setting} = {name!r} is {_words(_role(found))} ({find('networks', name).provider}); "
            f"{setting} takes {_words(role)}: {', '.join(fit)}"
        )
    return found


def _role(found: Any) -> str | None:
    return getattr(found, "role", None)


def _fits(name: str, role: Role) -> bool:
    try:
        return _role(load("networks", name)) == role
    except PluginError:
        return False


def _words(role: str | None) -> str:
    return "no network that says its role" if role is None else f"an {role}" if role[0] in "aeiou" else f"a {role}"
