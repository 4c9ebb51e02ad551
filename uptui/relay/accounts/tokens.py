"""Bearer secrets: how they look, and the digest that is all the store keeps of them."""

import hashlib
import secrets
from typing import Final

CREDENTIAL_PREFIX: Final = "upc_"
"""Given to an identity by /v1/credentials; lives an hour."""
TOKEN_PREFIX: Final = "upt_"  # noqa: S105 - a prefix, not a secret
"""An API token of an account or of an administrator."""
RANDOM_BYTES: Final = 32
MAX_BEARER: Final = 128


def new_credential() -> str:
    """A fresh credential of 256 random bits."""
    return CREDENTIAL_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def new_token() -> str:
    """A fresh API token of 256 random bits."""
    return TOKEN_PREFIX + secrets.token_urlsafe(RANDOM_BYTES)


def new_token_id() -> str:
    """The public name of an API token."""
    return secrets.token_hex(6)


def digest(secret: str) -> str:
    """What is stored instead of the secret; looking it up leaks no timing about the secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
