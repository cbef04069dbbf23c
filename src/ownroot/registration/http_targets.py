"""Announcements over HTTP: to the backend's API, and to the customer's own backend as a signed webhook.

Source: registration.md §9 (API), docs/registration-server.md (webhook).
"""

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ownroot.client.access import TOKEN_HEADER, require_token
from ownroot.client.addresses import parse_base_url, require_confidential
from ownroot.client.refusals import error_of
from ownroot.client.tls import api_trust
from ownroot.client.transport import Answer, ExchangeLimits, Transport
from ownroot.errors import InvalidInputError, KeyStoreError, OwnrootError, UnavailableError
from ownroot.pki.encoding import certificate_pem, load_certificate_der
from ownroot.pki.names import read_subject
from ownroot.registration.announcements import event_id, webhook_document
from ownroot.registration.delivery import Effect, Outcome
from ownroot.registration.outbox import BACKEND, WEBHOOK, Due
from ownroot.registration.private_files import read_secret
from ownroot.wire.documents import write_document

_LIMITS: Final = ExchangeLimits(connect_seconds=10, silence_seconds=30, total_seconds=60, answer_bytes=1024 * 1024)
_JSON: Final = {"Content-Type": "application/json"}
_NOT_THIS: Final = frozenset((400, 410, 413, 415, 422))
_NOT_NOW: Final = frozenset((408, 425, 429))
_CONFLICT: Final = 409
_STUMBLED: Final = 500
_SMALLEST_SECRET: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpAddress:
    """Where announcements go, used verbatim. `secret_file` holds the API token or the webhook's secret."""

    url: str
    secret_file: Path
    cacert: Path | None = None


class _HttpTarget:
    """What both have in common: one URL, connections kept alive, and what an answer means."""

    def __init__(self, address: HttpAddress) -> None:
        parse_base_url(address.url)
        require_confidential(address.url)
        parts = urlsplit(address.url.strip())
        self._path = parts.path or "/"
        self._secret_file = address.secret_file
        self._transport = Transport(f"{parts.scheme}://{parts.netloc}", tls=api_trust(address.cacert), limits=_LIMITS)

    def _send(self, method: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
        try:
            answer = self._transport.exchange(method, self._path, body=body, headers={**_JSON, **headers})
        except UnavailableError as error:
            return Outcome(Effect.NOT_NOW, error.detail)
        except OwnrootError as error:
            return Outcome(Effect.ALARM, error.detail)
        return outcome_of(answer)


class BackendTarget(_HttpTarget):
    """`PUT` to the backend: it learns of a device before the device's first visit.

    Raises:
        InvalidInputError: `bad-url`, `bad-cacert`, `bad-token`, `secret-unreadable`.
        RefusedError: `token-in-clear`.
        KeyStoreError: `secret-exposed`.
    """

    name = BACKEND

    def __init__(self, address: HttpAddress) -> None:
        super().__init__(address)
        require_token(read_secret(address.secret_file))

    def deliver(self, due: Due) -> Outcome:
        """Make one attempt. The token is read each time: it may be replaced while we run."""
        certificate = load_certificate_der(due.certificate_der)
        document = {"client.pem": certificate_pem(certificate)}
        if due.group is not None:
            document["group"] = due.group
        if due.name != due.uuid:
            document["name"] = due.name
        try:
            token = require_token(read_secret(self._secret_file))
        except (InvalidInputError, KeyStoreError) as error:
            return Outcome(Effect.ALARM, error.detail)
        return self._send("PUT", write_document(document), {TOKEN_HEADER: token})


class WebhookTarget(_HttpTarget):
    """`POST` to the customer's own backend, signed with a secret both know.

    Raises: as `BackendTarget`; InvalidInputError `webhook-secret-short`.
    """

    name = WEBHOOK

    def __init__(self, address: HttpAddress, *, now: Callable[[], float] = time.time) -> None:
        super().__init__(address)
        self._now = now
        _webhook_secret(address.secret_file)

    def deliver(self, due: Due) -> Outcome:
        """Make one attempt, signed anew: the receiver refuses old signatures."""
        certificate = load_certificate_der(due.certificate_der)
        factory = read_subject(certificate.subject).organizational_units[0]
        body = write_document(webhook_document(due, certificate, factory))
        try:
            secret = _webhook_secret(self._secret_file)
        except (InvalidInputError, KeyStoreError) as error:
            return Outcome(Effect.ALARM, error.detail)
        timestamp = str(int(self._now()))
        headers = {
            "Ownroot-Event": event_id(due.serial),
            "Ownroot-Timestamp": timestamp,
            "Ownroot-Signature": webhook_signature(secret, timestamp, body),
        }
        return self._send("POST", body, headers)


def webhook_signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return `v1=` and the HMAC-SHA256, in hex, over the timestamp, a full stop and the body as sent."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def outcome_of(answer: Answer) -> Outcome:
    """Say what an answer means for the announcement and for those behind it.

    401, 403, redirects and unknown addresses are a person's to repair and hit every announcement alike: all wait.
    """
    status = answer.status
    if 200 <= status < 300:
        return Outcome(Effect.TAKEN)
    fault = f"HTTP {status}: {error_of(answer).detail}"
    if status == _CONFLICT:
        return Outcome(Effect.NEVER, fault)
    if status in _NOT_THIS:
        return Outcome(Effect.NOT_THIS, fault)
    if status == _STUMBLED:
        return Outcome(Effect.PERHAPS_THIS, fault)
    return Outcome(Effect.NOT_NOW if status > _STUMBLED or status in _NOT_NOW else Effect.ALARM, fault)


def _webhook_secret(path: Path) -> str:
    secret = read_secret(path)
    if len(secret) < _SMALLEST_SECRET:
        raise InvalidInputError(
            "webhook-secret-short",
            f"The webhook's secret in {path} has less than {_SMALLEST_SECRET} characters. Make one with: "
            f"openssl rand -hex 32 > {path}",
        )
    return secret
