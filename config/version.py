"""The version of Overture, which pyproject.toml and CHANGELOG.md repeat."""

from typing import Final

VERSION: Final = "0.1.0"
USER_AGENT: Final = f"overture/{VERSION}"
