"""What the exit statuses of curl mean to a device (curl's manual, "EXIT CODES")."""

import re
from typing import Final
from urllib.parse import urlsplit

from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, RefusedError, UnavailableError

_RETRY_SECONDS: Final = 5
_UNKNOWN_OPTION: Final = 2
_NOT_BUILT_IN: Final = 4
_NOT_REACHED: Final = (5, 6, 7, 97)
_NOT_HTTP: Final = (1, 8, 61)
_TOO_LATE: Final = 28
_TLS_FAILED: Final = 35
_ENGINE: Final = (53, 54, 66)
_CREDENTIALS: Final = 58
_NOT_TRUSTED: Final = (51, 60)
_BAD_ROOTS: Final = 77
# In the address of an object (RFC 7512) that curl or the engine could not find.
_PIN: Final = re.compile(r"pin-(value|source)=[^;&?'\"\s\]]*")
_INSTALL: Final = "Debian: apt-get install curl libengine-pkcs11-openssl"


def curl_fault(status: int, said: str, method: str, url: str) -> OwnrootError:
    """Return the error for an exit status other than 0.

    Args:
        said: curl's own words. They may name an object on the token, PIN and all; the error does not.
    """
    why = _reason(said)
    if status in (*_ENGINE, _NOT_BUILT_IN, _UNKNOWN_OPTION):
        return KeyStoreError(
            "curl-engine",
            f"The curl of this machine cannot use OpenSSL's engine for PKCS#11, which connects with a key on a token: "
            f"{why}. Install both ({_INSTALL}).",
        )
    if status == _CREDENTIALS:
        return KeyStoreError("device-key-unusable", f"curl cannot use key and certificate on the token: {why}.")
    if status == _BAD_ROOTS:
        return InvalidInputError("bad-cacert", f"The trusted certificates cannot be read: {why}.")
    if status in _NOT_TRUSTED:
        return RefusedError("server-not-trusted", f"The certificate of {url} does not verify: {why}.")
    if status in _NOT_HTTP:
        return InvalidInputError("not-http", f"What answers at {url} does not speak HTTP: {why}.")
    code, detail = _weather(status, why, method, url)
    return UnavailableError(code, detail, retry_after=_RETRY_SECONDS)


def curl_missing(why: str) -> KeyStoreError:
    """Return the error for a curl that does not start."""
    return KeyStoreError(
        "curl-missing",
        f"A key on a token connects with the program curl, and it does not start: {why}. Install it ({_INSTALL}).",
    )


def curl_hung(method: str, url: str) -> UnavailableError:
    """Return the error for a curl that had to be ended."""
    return UnavailableError(
        "no-answer",
        f"The server did not answer {method} {url} in time, and curl did not end by itself: the token, or what leads "
        "to it, may hang.",
        retry_after=_RETRY_SECONDS,
    )


def _weather(status: int, why: str, method: str, url: str) -> tuple[str, str]:
    if status in _NOT_REACHED:
        return "no-connection", f"Nobody can be reached at {urlsplit(url).netloc}: {why}."
    if status == _TOO_LATE:
        return "no-answer", f"The server did not answer {method} {url} in time."
    if status == _TLS_FAILED:
        return "tls-failed", f"No TLS connection to {url} came about: {why}."
    return "connection-lost", f"The connection broke before {method} {url} was answered: {why}."


def _reason(said: str) -> str:
    """Return the line of curl itself; the engine may have said more before it."""
    said = _PIN.sub(r"pin-\1=*", said)
    lines = [line.partition(") ")[2] for line in said.splitlines() if line.startswith("curl: (")]
    return (lines[-1] if lines else said.strip().partition("\n")[0] or "no reason given").rstrip(".")
