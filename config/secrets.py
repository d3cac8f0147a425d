"""Which environment variables hold secrets. Only the processes that talk to Prefect or MLflow have them."""

import re
from collections.abc import Mapping

PARTS = ("KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", "AUTH", "CONNECTION_STRING", "WEBHOOK")
WITH_PASSWORD = re.compile(r"://[^/@\s]+@")  # an address with a user, and mostly a password


def is_secret(name: str, value: str = "") -> bool:
    """Whether a variable looks like a secret by its name, or because it holds an address with a password."""
    return any(part in name.upper() for part in PARTS) or bool(WITH_PASSWORD.search(value))


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """What of `environment` a process may have that only computes."""
    return {name: value for name, value in environment.items() if not is_secret(name, value)}


def without_other_secrets(environment: Mapping[str, str], prefix: str) -> dict[str, str]:
    """As `without_secrets`, but with all variables of the tool whose names begin with `prefix`, such as PREFECT_."""
    return without_secrets(environment) | {name: value for name, value in environment.items() if name.startswith(prefix)}
