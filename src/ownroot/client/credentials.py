"""What a device shows to its gateway, by place: files, or objects on a token (PKCS#11)."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileCredentials:
    """A certificate, alone or followed by its CA, and its private key; both PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCredentials:
    """A certificate and its private key on a token, each by its id (CKA_ID). The PIN shows in no text made of this.

    Attributes:
        module: the vendor's shared library.
        token: label of the token.
    """

    module: Path
    token: str
    pin: str = field(repr=False)
    key_id: bytes
    certificate_id: bytes


Credentials = FileCredentials | TokenCredentials
