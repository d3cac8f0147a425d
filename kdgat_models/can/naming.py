"""What the name of a capture says, and how arbitration IDs are written."""

import re

UNKNOWN_ATTACK = "unknown"
EXTENDED = 0x8000_0000  # set in the 29-bit ID of a frame whose number has 11 bits: it is another ID (SocketCAN's CAN_EFF_FLAG)
MOST_STANDARD = 0x7FF
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


def id_text(identifier: int) -> str:
    """An arbitration ID for people: 0x1A0 if it has 11 bits, 0x0CF00400 if it has 29."""
    number = identifier & ~EXTENDED
    return f"0x{number:08X}" if number != identifier or number > MOST_STANDARD else f"0x{number:03X}"
