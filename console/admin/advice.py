"""What to do about an error of store or broker."""

from __future__ import annotations

from tasks.store.replies import classify


def advice(error: BaseException, otherwise: str) -> str:
    """Return what to do about an error of store or broker, where it does not tell itself."""
    trouble = classify(error)
    return trouble.todo or ("try again in a moment" if trouble.is_over_soon else otherwise)
