"""The extras of pyproject.toml, which may not be installed."""

from __future__ import annotations

from importlib.util import find_spec


class MissingExtra(Exception):
    """Something needs an extra that is not installed; the text says which, and what to do."""


def demand_extra(extra: str, *modules: str) -> None:
    """Check that these modules of an extra are installed. Raises MissingExtra.

    `requirements.lock` has every extra, `requirements-production.lock` all but `demo`.
    """
    missing = [name for name in modules if not _is_there(name)]
    if missing:
        raise MissingExtra(
            f"this needs the extra {extra!r}, which is not installed (there is no module "
            f"{', '.join(missing)}): run `make install`, or see docs/deploy.md for images"
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False  # its package is missing, or None stands in its place in sys.modules
