"""What the name of a capture says."""

import re

UNKNOWN_ATTACK = "unknown"
COPY = "#"  # a copy of a capture, with synthetic attacks, is called CAPTURE#1


def attack_type(capture: str) -> str:
    """Attack type that a capture's name announces: `DoS-kia` -> DoS, `rpm-accessory-1` -> rpm.

    `none` for the names of attack-free captures; `unknown` for a name that announces nothing, such as `-kia`.
    """
    stem = re.sub(r"_(dataset|data)$", "", capture)
    if re.match(r"(attack[-_]free|accessory|normal)", stem, re.IGNORECASE):
        return "none"
    found = re.match(r"force-neutral|[^-]+", stem)
    return (found.group().strip() if found else "") or UNKNOWN_ATTACK
