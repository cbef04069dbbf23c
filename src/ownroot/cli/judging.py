"""Revoking, disabling and enabling device CAs: which CAs are meant, what it costs, and the signed command.

The cost is known before the root key is touched: how many devices each CA has signed for, and the first of their names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from ownroot.cli.change_run import Say, upload_change
from ownroot.cli.pki_changes import (
    JudgeDeviceCas,
    Offered,
    SignedChange,
    require_active_root,
    require_known,
    sign_change,
)
from ownroot.cli.pki_directory import ROOT_FILE, PkiDirectory
from ownroot.cli.pki_view import Entry, Kind, view_pki
from ownroot.client.api import Api, CertsAnswer
from ownroot.client.device_query import DeviceQuery
from ownroot.errors import InvalidInputError, RefusedError
from ownroot.pki.chains import is_signed_by
from ownroot.pki.issuance import Issuer
from ownroot.pki.revocation import Verdict
from ownroot.pki.serials import Serial, parse_serial, serial_text

# Enough to recognise a fleet by; `devices list --by-ca-serial` shows all.
NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Named:
    """A device CA named on the command line; `certificate` is there if a file named it."""

    serial: Serial
    certificate: x509.Certificate | None = None
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Affected:
    """A device CA and its devices. `entry` None: not trusted now. `devices` None: this token may not count them."""

    named: Named
    entry: Entry | None
    devices: int | None
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a verdict means for devices. `stops_registration`: the online CA in use is among those judged."""

    affected: tuple[Affected, ...]
    stops_registration: bool

    @property
    def devices(self) -> int | None:
        """How many devices there are under all of them; None if that is not known."""
        counts = [each.devices for each in self.affected]
        return None if None in counts else sum(count for count in counts if count is not None)


def read_named(directory: PkiDirectory, *, files: Sequence[str], serials: Sequence[str]) -> tuple[Named, ...]:
    """Find out which device CAs are meant, each once.

    Args:
        files: certificate files inside the directory, signed by its root.
        serials: decimal.
    Raises:
        InvalidInputError: `no-device-ca-named`, `ca-file-not-inside`, `ca-not-signed-by-root`, `serial-malformed`.
        NotFoundError: `pki-directory-incomplete`.
    """
    named = [_named_by_file(directory, file) for file in files]
    named += [Named(parse_serial(text)) for text in serials]
    if not named:
        raise InvalidInputError("no-device-ca-named", "Name the device CAs with --ca-file or --ca-serial.")
    return tuple({each.serial: each for each in reversed(named)}.values())[::-1]


class Judgement:
    """One verdict on device CAs of one factory.

    Args:
        open_root: opens the root for signing; called only when the command is signed.
        say: tells the owner what is going on, one line at a time.
    """

    def __init__(
        self,
        api: Api,
        directory: PkiDirectory,
        verdict: Verdict,
        named: tuple[Named, ...],
        *,
        open_root: Callable[[], Issuer],
        say: Say,
    ) -> None:
        self._api = api
        self._open_root = open_root
        self._say = say
        self._named = named
        self._answer = api.certs()
        require_active_root(directory.certificate(ROOT_FILE), self._answer.certs)
        returning = tuple(each.certificate for each in named if each.certificate is not None)
        self._change = JudgeDeviceCas(
            verdict=verdict,
            serials=tuple(each.serial for each in named),
            returning=returning if verdict is Verdict.RENEW else (),
        )

    def cost(self, *, now: datetime) -> Cost:
        """Look what the verdict would do.

        Raises:
            NotFoundError: `no-such-device-ca`.
        """
        require_known(self._change, self._answer.certs)
        entries = {entry.certificate.serial_number: entry for entry in view_pki(self._answer, now).device_cas}
        in_use = newest_online_ca(self._answer, now)
        stops = self._change.verdict is not Verdict.RENEW and in_use in self._change.serials
        return Cost(tuple(self._affected(named, entries.get(named.serial)) for named in self._named), stops)

    def sign(self, *, now: datetime) -> SignedChange:
        """Sign the command. Whoever holds it can carry it out for 15 minutes. Raises as `sign_change`."""
        return sign_change(self._change, Offered(), self._open_root(), self._answer.certs, now=now)

    def carry_out(self, signed: SignedChange) -> None:
        """Send the command. Raises as `upload_change`."""
        upload_change(self._api, signed.upload, self._say)

    def _affected(self, named: Named, entry: Entry | None) -> Affected:
        try:
            page = self._api.devices(DeviceQuery(ca_serial=serial_text(named.serial), sortby="name", limit=NAMES_SHOWN))
        except RefusedError:
            return Affected(named, entry, None, ())
        return Affected(named, entry, page.total, tuple(device.name or device.uuid for device in page.devices))


def newest_online_ca(answer: CertsAnswer, now: datetime) -> Serial | None:
    """Return the serial of the online CA in use: the newest one, since each takes over from the one before."""
    online = [entry.certificate for entry in view_pki(answer, now).device_cas if entry.kind is Kind.ONLINE_CA]
    newest = max(reversed(online), key=lambda ca: ca.not_valid_before_utc, default=None)  # of equals the last listed
    return None if newest is None else Serial(newest.serial_number)


def _named_by_file(directory: PkiDirectory, file: str) -> Named:
    if "/" in file or file in {"", ".", ".."}:
        raise InvalidInputError(
            "ca-file-not-inside", f"--ca-file takes the name of a file inside {directory.path}, such as local-ca.pem."
        )
    certificate = directory.certificate(file)
    if not is_signed_by(certificate, directory.certificate(ROOT_FILE)):
        raise InvalidInputError("ca-not-signed-by-root", f"{file} is not signed by {ROOT_FILE} of {directory.path}.")
    return Named(Serial(certificate.serial_number), certificate, file)
