"""Text of producers and servers, shown so that it cannot steer the terminal."""

from __future__ import annotations

import re
from typing import Final
from unicodedata import category

# What JSON allows within a string as it stands, and a terminal may obey: DEL, the C1 controls, and
# what changes the direction of the text around it.
_STEERING: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Show what is no visible character, and no blank, as a question mark."""
    return "".join(one if one.isprintable() or category(one) == "Zs" else "?" for one in text)


def escaped(json_text: str) -> str:
    """Write such characters of a JSON text in JSON's own way, so that it means the same."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)
