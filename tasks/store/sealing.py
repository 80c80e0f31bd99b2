"""Encryption of the tokens in the store, with a key made of the account's client secret.

So nobody gets a token from the store, its files or its backups; every worker has the secret.
Sources: AES-GCM as in NIST SP 800-38D, with its 96 bits of nonce; HKDF as in RFC 5869.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# The prefix of an encrypted value; it names the method.
VERSION: Final = "sealed-1:"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12


def seal(plain: str, *, secret: str, account_id: str, kind: str) -> str:
    """Encrypt a text, bound to its account and kind, so that it cannot be used as another."""
    nonce = os.urandom(NONCE_BYTES)
    sealed = _cipher(secret).encrypt(nonce, plain.encode(), _context(account_id, kind))
    return VERSION + b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, secret: str, account_id: str, kind: str) -> str | None:
    """Decrypt a value; None if it has another secret, account or kind, or was not encrypted."""
    try:
        octets = b64decode(sealed.removeprefix(VERSION) if is_sealed(sealed) else "", validate=True)
        nonce, encrypted = octets[:NONCE_BYTES], octets[NONCE_BYTES:]
        return _cipher(secret).decrypt(nonce, encrypted, _context(account_id, kind)).decode()
    except (ValueError, InvalidTag):
        return None


def is_sealed(value: str) -> bool:
    """Tell whether a value was encrypted, with any secret."""
    return value.startswith(VERSION)


def _cipher(secret: str) -> AESGCM:
    key = HKDF(SHA256(), length=KEY_BYTES, salt=None, info=b"overture: tokens in the store")
    return AESGCM(key.derive(secret.encode()))


def _context(account_id: str, kind: str) -> bytes:
    return f"{kind} of {account_id}".encode()
