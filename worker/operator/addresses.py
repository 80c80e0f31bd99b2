"""URLs of servers, and what libraries say of them, as they may be shown."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from config.server_urls import passwords_of
from worker.store.replies import classify

HIDDEN: Final = "[redacted]"
MOST_CHARACTERS: Final = 300


def public_url(url: str) -> str:
    """Return a URL without password and query; of alternatives (`a;b`) each."""
    return ";".join(map(_public, url.split(";")))


def without_passwords(text: str, url: str) -> str:
    """Take the passwords of a URL out of a text, such as that of a library's error."""
    for password in sorted(passwords_of(url), key=len, reverse=True):
        text = text.replace(password, HIDDEN)
    return text


def said(error: BaseException, url: str) -> str:
    """Return what an error of the server at a URL says, in a line without passwords."""
    # py-amqp puts the place of an error before its words.
    words = str(error).removeprefix("(0, 0): ") or type(error).__name__
    return without_passwords(words, url)[:MOST_CHARACTERS].strip().rstrip(".")


def advice(error: BaseException, otherwise: str) -> str:
    """Return what to do about an error of store or broker, where it does not tell itself."""
    trouble = classify(error)
    return trouble.todo or ("try again in a moment" if trouble.is_over_soon else otherwise)


def _public(url: str) -> str:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{host}{parts.path}"
