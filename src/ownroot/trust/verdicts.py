"""What a trust decision answers: accepted with everything that follows from it, or refused for a stated reason."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from cryptography import x509

from ownroot.errors import InvalidInputError
from ownroot.trust.changes import Field
from ownroot.trust.state import FactoryPki


class RefusalKind(StrEnum):
    """Whose turn is it? INVALID: the sender corrects the upload. CONFLICT: the sender looks at the state first."""

    INVALID = "invalid"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Refused:
    """The upload changes nothing.

    Attributes:
        code: stable, kebab-case name of the rule that refused.
        detail: for a person: what is wrong and what to do next.
        field: the part of the upload it is about; None if it is about the upload as a whole.
    """

    code: str
    detail: str
    field: Field | None
    kind: RefusalKind


class TrustEventKind(StrEnum):
    """What an accepted upload changed, one event per certificate."""

    ROOT_SET = "root-set"
    GATEWAY_TLS_SET = "gateway-tls-set"
    EST_TLS_SET = "est-tls-set"
    ONLINE_CA_ADDED = "online-ca-added"
    LOCAL_CA_ADDED = "local-ca-added"
    ONLINE_CA_RETIRED = "online-ca-retired"  # stays trusted, its key signs no more
    DEVICE_CA_DISABLED = "device-ca-disabled"
    DEVICE_CA_ENABLED = "device-ca-enabled"
    DEVICE_CA_REVOKED = "device-ca-revoked"


@dataclass(frozen=True, slots=True)
class TrustEvent:
    """One line for the audit log; the certificate is the one that came, stopped signing, or was ordered about."""

    kind: TrustEventKind
    certificate: x509.Certificate

    @property
    def serial(self) -> int:
        return self.certificate.serial_number


@dataclass(frozen=True, slots=True)
class Accepted:
    """The upload holds in every part. Keys are named by the SHA-256 of their SubjectPublicKeyInfo.

    Attributes:
        new_pki: the state to store; the very object handed in if the upload changes nothing.
        events: empty if the upload changes nothing.
        used_keys: pending keys that are in service from now on; to be activated in the same transaction.
        dropped_online_keys: private keys of online CAs that must not sign again; to be destroyed in the same
            transaction. The certificate of one that was replaced stays trusted.
        replaced_tls_keys: gateway and EST keys to destroy once the gateway serves the new certificate.
    """

    new_pki: FactoryPki
    events: tuple[TrustEvent, ...] = ()
    used_keys: tuple[bytes, ...] = ()
    dropped_online_keys: tuple[bytes, ...] = ()
    replaced_tls_keys: tuple[bytes, ...] = ()

    def then(
        self,
        new_pki: FactoryPki,
        *events: TrustEvent,
        used_keys: tuple[bytes, ...] = (),
        dropped_online_keys: tuple[bytes, ...] = (),
        replaced_tls_keys: tuple[bytes, ...] = (),
    ) -> "Accepted":
        """This outcome with one more step taken: the next state, and what it adds to everything else."""
        return Accepted(
            new_pki,
            events=self.events + events,
            used_keys=self.used_keys + used_keys,
            dropped_online_keys=self.dropped_online_keys + dropped_online_keys,
            replaced_tls_keys=self.replaced_tls_keys + replaced_tls_keys,
        )


Verdict: TypeAlias = Accepted | Refused


class RuleBrokenError(Exception):
    """Carries a refusal from the rule that found it up to `rules.decide`; never leaves this package."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.code)
        self.refused = refused


def invalid(code: str, detail: str, field: Field | None = None) -> RuleBrokenError:
    """A refusal the sender can mend in the upload itself."""
    return RuleBrokenError(Refused(code, detail, field, RefusalKind.INVALID))


def conflict(code: str, detail: str, field: Field | None = None) -> RuleBrokenError:
    """A refusal that follows from the state of the factory, not from the upload alone."""
    return RuleBrokenError(Refused(code, detail, field, RefusalKind.CONFLICT))


@contextmanager
def checking(what: str, field: Field) -> Iterator[None]:
    """Turn a profile fault found by `pki` into a refusal that says which certificate of which part it is about."""
    try:
        yield
    except InvalidInputError as fault:
        raise invalid(fault.code, f"{what}: {fault.detail}", field) from fault
