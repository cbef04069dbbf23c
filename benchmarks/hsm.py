"""Signatures on a SoftHSM2 token: through our key store, against a bare loop of python-pkcs11 on the same session."""

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11 import Attribute, Mechanism, ObjectClass, Session

from benchmarks.processes import LOAD_CORE, on_core
from benchmarks.report import Section, markdown_table, verdict
from ownroot.keystore.pkcs11 import Pkcs11KeyStore
from ownroot.keystore.pkcs11_token import Token
from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm

BAR, AIM = 0.75, 0.90
ROUNDS, SECONDS, THREADS = 21, 0.2, 8
_KEY = "root-ca"
_TEXT = b"as long as the part of a certificate that is signed " * 10

METHOD = f"""\
P-256 with SHA-256 on a SoftHSM2 token (file backend), on one core. The bare loop hashes, signs with a key object of
python-pkcs11 in one session and does no more; ours returns DER, takes a session from the pool each time, and can be
called from any thread. {ROUNDS} rounds of {SECONDS} s each in turn; the ratio is the median of the rounds' ratios."""


def measure() -> Section:
    """Measure on a token of its own."""
    with tempfile.TemporaryDirectory() as folder:
        hsm = soft_hsm(Path(folder))
        with mock.patch.dict(os.environ, hsm.environment):
            bare, ours, threaded = _rounds(hsm)
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, bare, strict=True))
    rows = [
        ("bare loop of python-pkcs11", f"{statistics.median(bare):,.0f}"),
        ("key store, one thread", f"{statistics.median(ours):,.0f}"),
        (f"key store, {THREADS} threads", f"{statistics.median(threaded):,.0f}"),
    ]
    return Section(
        "Signatures on a token",
        METHOD,
        markdown_table(("how", "signatures per second"), rows),
        verdict("key store / bare loop", f"{ratio:.2f}", f"{BAR} (aim {AIM})", met=ratio >= BAR),
    )


def _rounds(hsm: SoftHsm) -> tuple[list[float], list[float], list[float]]:
    store = Pkcs11KeyStore(hsm.module, LABEL, PIN)
    token = Token.open(hsm.module, LABEL, PIN)
    key, algorithm = store.create(_KEY), ec.ECDSA(hashes.SHA256())
    bare: list[float] = []
    ours: list[float] = []
    threaded: list[float] = []
    with on_core(LOAD_CORE):
        for _ in range(ROUNDS):
            bare.append(token.use(lambda line: _rate(_bare_signing(line.session))))
            ours.append(_rate(lambda: key.sign(_TEXT, algorithm)))
            with ThreadPoolExecutor(THREADS) as pool:
                threaded.append(sum(pool.map(lambda _: _rate(lambda: key.sign(_TEXT, algorithm)), range(THREADS))))
    token.release()
    store.close()
    return bare, ours, threaded


def _bare_signing(session: Session) -> Callable[[], bytes]:
    wanted = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.LABEL: _KEY}
    key: Any = next(iter(list(session.get_objects(wanted))))
    return lambda: key.sign(hashlib.sha256(_TEXT).digest(), mechanism=Mechanism.ECDSA)


def _rate(sign: Callable[[], bytes]) -> float:
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        sign()
        count += 1
    return count / (time.perf_counter() - start)
