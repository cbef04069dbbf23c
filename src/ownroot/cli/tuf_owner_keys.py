"""Private halves of an owner's TUF keys, in the key file or on a token, opened when something is to be signed."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ownroot.cli.hsm import HsmKeys
from ownroot.cli.tuf_key_file import KeyFile, OnToken
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.errors import InvalidInputError, KeyStoreError, NotFoundError
from ownroot.tuf.keys import KeyType, TufSigner, generate_signer
from ownroot.tuf.metadata import Role


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where an owner keeps the keys of root and of targets; often one file."""

    root: KeyFileStore
    targets: KeyFileStore

    def of(self, role: Role) -> KeyFileStore:
        """Return the file for keys of a role."""
        return self.root if role is Role.ROOT else self.targets

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold both for one run. Raises as `KeyFileStore.held`."""
        with self.root.held():
            if self.targets.path == self.root.path:
                yield
            else:
                with self.targets.held():
                    yield


class OwnerKeys:
    """Makes and opens keys.

    Args:
        hsm: the token that holds them; None: new keys go into the key file.
    """

    def __init__(self, hsm: HsmKeys | None = None) -> None:
        self._hsm = hsm

    def require_able(self, keytype: KeyType) -> None:
        """Refuse a type of key that cannot be made where new keys go.

        Raises:
            InvalidInputError: `tuf-token-key-type`.
        """
        if self._hsm is not None and keytype is not KeyType.ED25519:
            raise InvalidInputError("tuf-token-key-type", "TUF keys on a token are ED25519.")

    def make(self, role: Role, keytype: KeyType) -> tuple[TufSigner, OnToken | None]:
        """Make a key; on a token it is there on return.

        Raises:
            InvalidInputError: `tuf-token-key-type`. KeyStoreError: the token cannot serve.
        """
        self.require_able(keytype)
        if self._hsm is None:
            return generate_signer(keytype), None
        label = f"tuf-{role}-{secrets.token_hex(4)}"
        return TufSigner.of(self._hsm.store.create_ed25519(label)), OnToken(self._hsm.token_label, label)

    def open(self, file: KeyFile, key_id: str) -> TufSigner:
        """Return a key that `file` holds.

        Raises:
            NotFoundError: `tuf-key-not-in-file`. KeyStoreError: `tuf-key-on-token`, `tuf-key-mismatch`, or why the
                token cannot serve.
        """
        half = file.private_half(key_id)
        if half is None:
            raise NotFoundError("tuf-key-not-in-file", f"The key file does not have the private half of {key_id}.")
        return half if isinstance(half, TufSigner) else self._on_token(half, key_id)

    def open_all(self, file: KeyFile, key_ids: Iterable[str]) -> tuple[TufSigner, ...]:
        """Return those of these keys that `file` holds, each once."""
        return tuple(self.open(file, key_id) for key_id in dict.fromkeys(key_ids) if file.holds(key_id))

    def _on_token(self, place: OnToken, key_id: str) -> TufSigner:
        if self._hsm is None or self._hsm.token_label != place.token:
            raise KeyStoreError(
                "tuf-key-on-token",
                f"The key {key_id} is on the token {place.token!r}. Name it with --hsm-module and --hsm-token-label.",
            )
        private = self._hsm.store.find_ed25519(place.label)
        if private is None:
            raise KeyStoreError("tuf-key-on-token", f"The token {place.token!r} has no key {place.label!r}.")
        signer = TufSigner.of(private)
        if signer.key.key_id != key_id:
            raise KeyStoreError("tuf-key-mismatch", f"The key {place.label!r} on the token is not {key_id}.")
        return signer
