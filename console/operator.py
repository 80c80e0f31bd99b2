"""The name of the operator, which is recorded with what a command did."""

from __future__ import annotations

import getpass
import os
import socket


def operator() -> str:
    """Return `user@host`; the user's number if it has no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
