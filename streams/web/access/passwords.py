"""Hashes of passwords, PINs and tokens, checked so that the time taken tells nothing. Knows no accounts.

argon2id with the parameters of RFC 9106 (low-memory profile), as argon2-cffi's defaults follow it.
"""

from __future__ import annotations

import functools
import hashlib
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

HASHER = PasswordHasher()
TOKEN_PREFIX = "lst_"  # noqa: S105  # what it starts with, so that scanners for secrets find one in the wrong place


def hash_secret(secret: str) -> str:
    """The argon2id hash of a password or PIN. Tens of milliseconds of one core, 64 MiB: off the event loop."""
    return HASHER.hash(secret)


def verify(secret_hash: str | None, secret: str) -> bool:
    """True where the secret fits. Without a hash the same work is done and the answer is no."""
    try:
        return HASHER.verify(secret_hash or _hash_of_nothing(), secret) and secret_hash is not None
    except (VerificationError, InvalidHashError):
        return False


def is_outdated(secret_hash: str) -> bool:
    """True where the hash was made with other parameters than today's."""
    return HASHER.check_needs_rehash(secret_hash)


def new_token() -> str:
    """A bearer token of 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def token_sha256(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


@functools.cache
def _hash_of_nothing() -> str:
    return HASHER.hash(secrets.token_urlsafe(32))
