"""The key-encryption key, derived from a secret that never leaves a token.

The token is needed when a server starts and when an operator's command opens its data, not in between. A stolen disk
opens nothing without the token and its PIN.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ownroot.errors import KeyStoreError
from ownroot.keystore.kek import Kek
from ownroot.keystore.labels import HSM_PIN_VARIABLE, require_label
from ownroot.keystore.pins import find_pin

_WORDS = b"ownroot key-encryption key v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOfKek:
    """Where the secret is. `pin_file` None: the PIN comes from the environment."""

    module: Path
    token_label: str
    key_label: str
    pin_file: Path | None


def kek_from_token(place: TokenOfKek, environment: Mapping[str, str], *, may_make: bool) -> Kek:
    """Derive the key-encryption key.

    Args:
        may_make: make the secret if it is missing; only for a database that holds nothing sealed yet.
    Raises:
        KeyStoreError: `kek-missing`, `pin-missing`, `pin-file`, `pkcs11-missing`, and why the token cannot serve.
    """
    require_label(place.key_label)
    pin = find_pin(place.token_label, place.pin_file, environment, variable=HSM_PIN_VARIABLE)
    try:
        from ownroot.keystore import pkcs11_secrets  # noqa: PLC0415
        from ownroot.keystore.pkcs11_token import Token  # noqa: PLC0415
    except ImportError as exc:
        raise KeyStoreError(
            "pkcs11-missing", "Keys on a token need one more package; install it: pip install 'ownroot[hsm]'."
        ) from exc
    token = Token.open(place.module, place.token_label, pin)
    try:
        derived = pkcs11_secrets.derive(token, place.key_label, _WORDS)
        if derived is None and may_make:
            pkcs11_secrets.create_secret(token, place.key_label)
            derived = pkcs11_secrets.derive(token, place.key_label, _WORDS)
    finally:
        token.release()
    if derived is None:
        raise KeyStoreError(
            "kek-missing",
            f"The token {place.token_label!r} has no secret key {place.key_label!r}, and without it no private key of "
            "this server can be opened. Bring the token that this server was set up with, or a clone of it.",
        )
    return Kek(derived)
