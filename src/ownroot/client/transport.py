"""HTTP as all our clients speak it: time limits, bounded answers, no redirects, TLS always verified.

Redirects are never followed: a followed 301 turns a write into a read and then looks like success, and a token must
not travel to an address nobody typed. Names under `.localhost` are resolved to loopback here (RFC 6761 §6.3), with
`Host` and SNI left as they are, so that several factories work on one laptop. Proxy settings of the environment are
honoured except for loopback.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar
from urllib.parse import urlsplit

import httpx2

from ownroot import __version__
from ownroot.client.addresses import LOOPBACK, is_loopback, is_under_localhost
from ownroot.client.closing import ClosedOnExit
from ownroot.errors import InvalidInputError, OwnrootError, RefusedError, UnavailableError

Cause = TypeVar("Cause", bound=BaseException)

USER_AGENT = f"ownroot/{__version__}"
_RETRY_SECONDS = 5
# The library has one error for "no HTTP" and "HTTP that ends too soon"; only its words tell them apart.
_CUT_SHORT = ("disconnected", "peer closed connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeLimits:
    """How long and how much we take from a server. `total_seconds` ends an answer that only trickles."""

    connect_seconds: float = 10.0
    silence_seconds: float = 60.0
    total_seconds: float = 180.0
    answer_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer, whatever its status. Header names are lower-case."""

    method: str
    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; octets that are not UTF-8 are shown as such."""
        return self.body.decode("utf-8", errors="backslashreplace")


class Transport(ClosedOnExit):
    """Connections to one server, kept alive between requests. Owns its sockets; close it or use it in a `with`.

    Args:
        base_url: from `parse_base_url`.
        tls: decides which servers are believed; see `client.tls`.
        headers: sent with every request.
    """

    def __init__(
        self,
        base_url: str,
        *,
        tls: ssl.SSLContext,
        headers: Mapping[str, str] | None = None,
        limits: ExchangeLimits = ExchangeLimits(),
    ) -> None:
        self._base_url = base_url
        self._limits = limits
        local = is_loopback(urlsplit(base_url).hostname or "")
        self._client = httpx2.Client(
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", **(headers or {})},
            verify=tls,
            trust_env=not local,
            transport=_LoopbackTransport(tls) if local else None,
            follow_redirects=False,
            timeout=httpx2.Timeout(limits.silence_seconds, connect=limits.connect_seconds),
        )

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

        Args:
            path: appended to the base URL as it is; escaped already.
            answer_bytes: how much to take of this answer, if that is less than the transport's limit.
        Raises:
            UnavailableError: `no-connection`, `no-answer` (the request may have been carried out), `connection-lost`.
            RefusedError: `server-not-trusted`, its certificate does not verify.
            InvalidInputError: `answer-too-large`, `not-http`.
        """
        url = self._base_url + path
        most = self._limits.answer_bytes if answer_bytes is None else min(answer_bytes, self._limits.answer_bytes)
        with _our_errors(method, url), self._client.stream(method, url, content=body, headers=headers) as response:
            return Answer(method, url, response.status_code, _lower(response.headers), self._read(response, url, most))

    def _read(self, response: httpx2.Response, url: str, most: int) -> bytes:
        deadline = monotonic() + self._limits.total_seconds
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > most:
                raise InvalidInputError("answer-too-large", f"{url} answers with more than we are willing to read.")
            if monotonic() > deadline:
                raise _no_answer(response.request.method, url)
        return bytes(body)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()


class _LoopbackTransport(httpx2.BaseTransport):
    """Connects names under `.localhost` to loopback without asking anyone."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._inner = httpx2.HTTPTransport(verify=tls, trust_env=False)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        host = request.url.host
        if is_under_localhost(host):
            request.extensions = {**request.extensions, "sni_hostname": host}
            request.url = request.url.copy_with(host=LOOPBACK)  # the Host header was written before and stays
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@contextmanager
def _our_errors(method: str, url: str) -> Iterator[None]:
    try:
        yield
    except httpx2.InvalidURL as exc:
        raise InvalidInputError("bad-url", f"{url} is not a URL: {exc}.") from exc
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as exc:
        raise _not_connected(url, exc) from exc
    except httpx2.TimeoutException as exc:
        raise _no_answer(method, url) from exc
    except httpx2.RemoteProtocolError as exc:
        if any(words in str(exc) for words in _CUT_SHORT):
            raise _lost(method, url) from exc
        raise InvalidInputError("not-http", f"What answers at {url} does not speak HTTP: {exc}.") from exc
    except httpx2.DecodingError as exc:
        raise InvalidInputError("not-http", f"The answer of {url} cannot be decoded: {exc}.") from exc
    except httpx2.HTTPError as exc:
        raise _lost(method, url) from exc


def _not_connected(url: str, exc: BaseException) -> OwnrootError:
    tls = _cause(exc, ssl.SSLError)
    if isinstance(tls, ssl.SSLCertVerificationError):
        return RefusedError(
            "server-not-trusted", f"The certificate of {url} does not verify: {tls.verify_message.rstrip('.')}."
        )
    if tls is not None:
        reason = (tls.reason or str(tls)).lower().replace("_", " ")
        return UnavailableError(
            "tls-failed", f"No TLS connection to {url} came about: {reason}.", retry_after=_RETRY_SECONDS
        )
    host = urlsplit(url).netloc
    reason = "no answer in time" if isinstance(exc, httpx2.ConnectTimeout) else _reason(exc)
    return UnavailableError("no-connection", f"Nobody can be reached at {host}: {reason}.", retry_after=_RETRY_SECONDS)


def _no_answer(method: str, url: str) -> OwnrootError:
    return UnavailableError(
        "no-answer", f"The server did not answer {method} {url} in time.", retry_after=_RETRY_SECONDS
    )


def _lost(method: str, url: str) -> OwnrootError:
    detail = f"The connection broke before {method} {url} was answered."
    if url.startswith("http://"):
        detail += " A server that speaks TLS ends plain HTTP so; its address begins with https://."
    return UnavailableError("connection-lost", detail, retry_after=_RETRY_SECONDS)


def _reason(exc: BaseException) -> str:
    system = _cause(exc, OSError)
    if system is not None and system.strerror:
        return system.strerror[0].lower() + system.strerror[1:]
    return str(exc) or "no connection"


def _cause(exc: BaseException, kind: type[Cause]) -> Cause | None:
    step: BaseException | None = exc
    while step is not None:
        if isinstance(step, kind):
            return step
        step = step.__cause__ or step.__context__
    return None


def _lower(headers: httpx2.Headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
