"""Requests over the TLS of curl, for a private key that never leaves its token (docs/adr/0017).

Nothing that Python programs are usually built with lets such a key sign in a handshake; curl does, with OpenSSL's
engine for PKCS#11. It is a process for each request, and keeps no connection. What it is told, the PIN too, goes
through its standard input: a command line can be read by everybody on the machine.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final
from urllib.parse import quote_from_bytes, urlsplit

from ownroot.client.addresses import LOOPBACK, is_loopback, is_under_localhost
from ownroot.client.closing import ClosedOnExit
from ownroot.client.credentials import TokenCredentials
from ownroot.client.curl_faults import curl_fault, curl_hung, curl_missing
from ownroot.client.transport import USER_AGENT, Answer, ExchangeLimits
from ownroot.errors import InvalidInputError

_MODULE_VARIABLE = "PKCS11_MODULE_PATH"
_MOST_HEADER_BYTES = 64 * 1024
_HEADER_END = b"\r\n\r\n"
# curl ends by its own clock, unless its engine is waiting for the token: then it ends by ours, a little later.
_LATER_THAN_CURL: Final = 1.1


class CurlTransport(ClosedOnExit):
    """Requests to one server, a handshake each.

    Args:
        base_url: from `parse_base_url`, https only.
        ca_file: the pinned root(s), PEM. Nothing else is believed, the system's roots neither.
    """

    def __init__(self, base_url: str, ca_file: Path, credentials: TokenCredentials, limits: ExchangeLimits) -> None:
        self._base_url = base_url
        self._limits = limits
        self._environment = os.environ | {_MODULE_VARIABLE: str(credentials.module)}
        self._always = (*_tls(ca_file, credentials), *_reach(base_url), *_limited(limits))

    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        answer_bytes: int | None = None,
    ) -> Answer:
        """Send one request and read the whole answer.

        Raises:
            OwnrootError: as `Transport.exchange`.
            KeyStoreError: `curl-missing`, `curl-engine`; `device-key-unusable`: the token would not serve curl.
            InvalidInputError: `header-value`, a header holds a line break.
        """
        url = self._base_url + path
        most = self._limits.answer_bytes if answer_bytes is None else min(answer_bytes, self._limits.answer_bytes)
        with _body_file(body) as sent, tempfile.TemporaryFile() as said:
            told = [*self._always, ("url", url), ("request", method), *_headers(headers or {})]
            if sent is not None:
                told.append(("data-binary", f"@/dev/fd/{sent.fileno()}"))
            status, output = self._run(told, sent, said, most)
            if len(output) > most + _MOST_HEADER_BYTES:
                raise _too_large(url)
            if status is None:
                raise curl_hung(method, url)
            if status != 0:
                said.seek(0)
                raise curl_fault(status, said.read().decode(errors="backslashreplace"), method, url)
        return _parse_answer(method, url, output, most)

    def close(self) -> None:
        """Do nothing: no connection outlives its request."""

    def _run(
        self, told: list[tuple[str, str]], sent: IO[bytes] | None, said: IO[bytes], most: int
    ) -> tuple[int | None, bytes]:
        """Return the exit status, None if it never ended by itself, and what came, cut off once it is too much."""
        program = shutil.which("curl")
        if program is None:
            raise curl_missing("it is not there")
        try:
            process = subprocess.Popen(  # noqa: S603 - no shell, and nothing of ours in the words
                [program, "--disable", "--config", "-"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env=self._environment,
                pass_fds=() if sent is None else (sent.fileno(),),
                start_new_session=True,  # so that what it started ends with it, and asks nobody at a terminal
            )
        except OSError as error:
            raise curl_missing(error.strerror or str(error)) from error
        with process, _ended_after(process, self._limits.total_seconds * _LATER_THAN_CURL) as was_ended:
            status, output = _talk(process, "".join(map(_line, told)).encode(), most)
        return (None if status and was_ended.is_set() else status), output


@contextmanager
def _ended_after(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[threading.Event]:
    """End a process, and all it has started, so many seconds from now or after the block; tells if it was the former.

    Nothing that is read from it in the block waits any longer.
    """
    was_ended = threading.Event()

    def end() -> None:
        was_ended.set()
        _end(process)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield was_ended
    finally:
        timer.cancel()
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    # Once it was waited for, its number may be another's.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _talk(process: "subprocess.Popen[bytes]", told: bytes, most: int) -> tuple[int, bytes]:
    if process.stdin is None or process.stdout is None:
        raise AssertionError("both are pipes")
    try:
        process.stdin.write(told)
        process.stdin.close()
    except BrokenPipeError:
        pass  # its exit status tells why
    limit = most + _MOST_HEADER_BYTES + 1
    output = process.stdout.read(limit)
    return (0 if len(output) == limit else process.wait()), output


def _tls(ca_file: Path, credentials: TokenCredentials) -> Iterator[tuple[str, str]]:
    yield "proto", "=https"
    yield "globoff", ""
    yield "path-as-is", ""
    yield "tlsv1.2", ""
    yield "http1.1", ""
    yield "cacert", str(ca_file)
    yield "capath", os.devnull  # else the system's roots are believed as well
    yield "engine", "pkcs11"
    yield "key-type", "ENG"
    yield "key", _uri(credentials, credentials.key_id, "private")
    yield "cert-type", "ENG"
    yield "cert", _uri(credentials, credentials.certificate_id, "cert")


def _uri(credentials: TokenCredentials, object_id: bytes, kind: str) -> str:
    """Name an object on a token, the PIN with it (RFC 7512)."""
    token, pin = (_escaped(text.encode()) for text in (credentials.token, credentials.pin))
    name = "".join(f"%{octet:02x}" for octet in object_id)
    return f"pkcs11:token={token};id={name};type={kind};pin-value={pin}"


def _escaped(octets: bytes) -> str:
    return quote_from_bytes(octets, safe="")


def _reach(base_url: str) -> Iterator[tuple[str, str]]:
    host = urlsplit(base_url).hostname or ""
    if is_loopback(host):
        yield "noproxy", "*"
    if is_under_localhost(host):
        yield "connect-to", f"::{LOOPBACK}:"


def _limited(limits: ExchangeLimits) -> Iterator[tuple[str, str]]:
    yield "connect-timeout", f"{limits.connect_seconds:g}"
    yield "max-time", f"{limits.total_seconds:g}"
    yield "speed-limit", "1"
    yield "speed-time", f"{max(1, round(limits.silence_seconds))}"
    yield "silent", ""
    yield "show-error", ""
    yield "include", ""
    yield "suppress-connect-headers", ""


def _headers(headers: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "header", "Expect:"
    for name, value in {"User-Agent": USER_AGENT, **headers}.items():
        if any(character in value for character in "\r\n\0"):
            raise InvalidInputError("header-value", f"The value of {name} holds a line break, so it is not sent.")
        # With a colon alone curl would leave an empty header out.
        yield "header", f"{name}: {value}" if value else f"{name};"


def _line(option: tuple[str, str]) -> str:
    name, value = option
    escaped = value
    for plain, sign in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        escaped = escaped.replace(plain, sign)
    return f'{name} = "{escaped}"\n' if value else f"{name}\n"


@contextmanager
def _body_file(body: bytes | None) -> Iterator[IO[bytes] | None]:
    if body is None:
        yield None
        return
    with tempfile.TemporaryFile() as file:
        file.write(body)
        file.flush()
        yield file


def _parse_answer(method: str, url: str, output: bytes, most: int) -> Answer:
    """Split what curl shows; answers of a status below 200 come before the one that counts."""
    while True:
        head, end, output = output.partition(_HEADER_END)
        lines = head.decode("latin-1").split("\r\n")
        status = lines[0].split(" ", 2)[1:2]
        if not end or not status or not status[0].isdigit():
            raise InvalidInputError("not-http", f"What answers at {url} does not speak HTTP.")
        if int(status[0]) >= 200:
            break
    if len(output) > most:
        raise _too_large(url)
    found: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        key, value = name.strip().lower(), value.strip()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return Answer(method, url, int(status[0]), found, output)


def _too_large(url: str) -> InvalidInputError:
    return InvalidInputError("answer-too-large", f"{url} answers with more than we are willing to read.")
