"""Online CA keys that lie on a token of the operator, and how the token is kept in step with the database.

A token knows no transactions. So the database leads, and what happens on the token can be told from it at any moment:

* Before a key is made, its id, which nobody could guess, is committed as an intent. When the key is stored, the intent
  is settled in the same transaction; an intent that was given up meanwhile cannot be settled.
* A key is destroyed by its row going. The object follows after that commit: `sweep` destroys what is ours on the token
  and is named by neither row nor intent.

Whatever a crash cuts off, the next sweep finishes. It asks the token first and the database afterwards. So an object it
saw was intended before, and is an orphan exactly if the database does not name it, however young, whichever of several
servers on one database made it. Objects of ours have a label that begins with the id of this installation; no other is
ever touched.
"""

import json
import os
import secrets
from collections.abc import Callable, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from ownroot.errors import KeyStoreError
from ownroot.pki.names import FactoryName
from ownroot.pki.signer import PrivateKey, PublicKey
from ownroot.services.ports import Database, UnitOfWork
from ownroot.services.steps import Aside, Steps

# Longer than any token takes to make a key.
MAKING_TIME = timedelta(minutes=10)

_ID_BYTES = 16
_INSTALLATION = "installation-id"


class TokenKeys(Protocol):
    """Keys on one token. Every method but `open` asks the token.

    Each raises UnavailableError when the token is away, and KeyStoreError when it will not serve until somebody acts.
    """

    def create(self, key_id: bytes, label: str) -> PublicKey:
        """Make a P-256 key that cannot be extracted; durable on return. The same id again replaces what was left."""
        ...

    def open(self, key_id: bytes, label: str, public_key: PublicKey) -> PrivateKey:
        """Return a key that signs on the token, and hands out no signature that `public_key` does not verify."""
        ...

    def ids(self, prefix: str) -> Set[bytes]:
        """Ids of the keys whose label begins so."""
        ...

    def destroy(self, key_id: bytes, prefix: str) -> None:
        """Destroy the key of this id if its label begins so; no error if there is none."""
        ...

    def require(self, key_id: bytes | None) -> None:
        """Find out that the token serves, and has this key. Raises KeyStoreError `key-gone`."""
        ...


@dataclass(frozen=True, slots=True)
class KeyOnToken:
    """What the database keeps of a key on a token, sealed: enough to find it, and to know whether it is the one."""

    id: bytes
    label: str
    public_key: PublicKey


@dataclass(frozen=True, slots=True)
class CaToken:
    """The token of the online CAs, as one installation uses it.

    Args:
        installation: tells our keys from those of other servers on the same token.
    """

    keys: TokenKeys
    installation: str
    random: Callable[[int], bytes] = os.urandom

    @property
    def prefix(self) -> str:
        """What the labels of our keys begin with."""
        return f"ownroot:{self.installation}:"

    def new_key_id(self) -> bytes:
        """Choose the id of a key to be made."""
        return self.random(_ID_BYTES)

    def create(self, key_id: bytes, factory: FactoryName) -> KeyOnToken:
        """Make the online CA key of a factory; its id is on record as an intent. Raises as `TokenKeys`."""
        label = f"{self.prefix}{factory}:online-ca"
        return KeyOnToken(key_id, label, self.keys.create(key_id, label))

    def open(self, key: KeyOnToken) -> PrivateKey:
        """Return the key, without asking the token yet."""
        return self.keys.open(key.id, key.label, key.public_key)


def settle_installation_id(database: Database) -> str:
    """Return the id of this installation; the first call makes it."""
    known = database.read(lambda uow: uow.facts.get(_INSTALLATION))
    return known or database.write(lambda uow: uow.facts.put_once(_INSTALLATION, secrets.token_hex(8))).result()


def forget_installation_id(uow: UnitOfWork) -> None:
    """Make a restored database another installation.

    The one it is a copy of may live on, and has made keys since that the copy does not know: to sweep them would be the
    end of its CAs. Keys of before can be used all the same, and stay on the token when they have served.
    """
    uow.facts.forget(_INSTALLATION)


def give_up_old_keys(uow: UnitOfWork, *, alone: bool, now: datetime) -> None:
    """Drop pending keys that expired long ago, and intents to make a key that nobody follows any more.

    Args:
        alone: no other process makes keys on this database, so every intent is a dead one.
    """
    uow.keys.drop_expired(now=now)
    uow.token_keys.void(before=None if alone else now - MAKING_TIME)


def sweep(token: CaToken) -> Steps[int]:
    """Destroy keys of ours that the database does not name; returns how many.

    Raises:
        UnavailableError, KeyStoreError: the token does not serve. What is left is found by the next sweep.
    """
    present: Set[bytes] = yield Aside(lambda: token.keys.ids(token.prefix))
    if not present:
        return 0
    named: Set[bytes] = yield lambda uow: uow.token_keys.named()
    orphans = sorted(present - named)
    for key_id in orphans:
        yield Aside(partial(token.keys.destroy, key_id, token.prefix))
    return len(orphans)


def describe(key: KeyOnToken) -> bytes:
    """Write down a key, to be sealed."""
    spki = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return json.dumps({"id": key.id.hex(), "label": key.label, "spki": spki.hex()}).encode()


def read_description(text: bytes) -> KeyOnToken:
    """Read what `describe` wrote; it comes out of a seal of ours.

    Raises:
        KeyStoreError: `sealed-unreadable`.
    """
    try:
        document = json.loads(text)
        public_key = load_der_public_key(bytes.fromhex(document["spki"]))
        if not isinstance(public_key, ec.EllipticCurvePublicKey):
            raise TypeError("not a key that signs with ECDSA")
        return KeyOnToken(bytes.fromhex(document["id"]), str(document["label"]), public_key)
    except (ValueError, KeyError, TypeError) as exc:
        raise KeyStoreError(
            "sealed-unreadable", "What the database says of a key on a token was written by another version."
        ) from exc
