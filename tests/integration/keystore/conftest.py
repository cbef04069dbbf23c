"""A SoftHSM2 token of each test's own, and no session left open on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ownroot.keystore.pkcs11 import Pkcs11KeyStore
from tests.support.softhsm import LABEL, PIN, SoftHsm, open_sessions, soft_hsm

OpenStore = Callable[..., Pkcs11KeyStore]


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    hsm = soft_hsm(tmp_path / "hsm")
    for name, value in hsm.environment.items():
        monkeypatch.setenv(name, value)
    return hsm


@pytest.fixture
def open_store(hsm: SoftHsm) -> Iterator[OpenStore]:
    """Open stores that are closed after the test, which must leave no session."""
    opened: list[Pkcs11KeyStore] = []

    def open_store(label: str = LABEL, pin: str = PIN, module: Path | None = None) -> Pkcs11KeyStore:
        opened.append(Pkcs11KeyStore(module or hsm.module, label, pin))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()
    assert open_sessions(hsm.module) == 0


@pytest.fixture
def store(open_store: OpenStore) -> Pkcs11KeyStore:
    return open_store()
