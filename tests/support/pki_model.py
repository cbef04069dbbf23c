"""What a factory's PKI must do, said a second time: dictionaries and labels in place of certificates and rules.

Written from the protocol's pages (api.md §3.4 and §3.5), not from our rules, and without their order of evaluation. The
model names every rule an upload breaks; the server must accept exactly what breaks none, and refuse for one of those.
Signatures are words here: who signed what is known to the test that made it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf

OWNER = "owner"
THIEF = "thief"

DISABLED, ENABLED, REVOKED = "disabled", "enabled", "revoked"
VERDICTS = {6: DISABLED, 8: ENABLED}


@dataclass(frozen=True)
class Cert:
    """A certificate: what it is for, its serial, the name of its key, and who signed it.

    `kind` is `online`, `local` or `foreign` for device CAs (how it is named), else `tls` or `est`.
    """

    kind: str
    serial: int
    key: str
    pem: str = field(compare=False)
    signer: str = OWNER


@dataclass(frozen=True)
class Command:
    """A revocation list: reasons by serial, when it was signed, and by whom."""

    orders: tuple[tuple[int, int | None], ...]
    at: int
    pem: str = field(compare=False)
    signer: str = OWNER

    def verdicts(self) -> Iterator[tuple[int, str]]:
        for serial, reason in self.orders:
            yield serial, REVOKED if reason is None else VERDICTS.get(reason, REVOKED)

    def named(self, verdict: str) -> set[int]:
        return {serial for serial, found in self.verdicts() if found == verdict}


@dataclass(frozen=True)
class Upload:
    """One request; `root` is who the root that it brings belongs to."""

    root: str | None = None
    tls: Cert | None = None
    est: Cert | None = None
    cas: tuple[Cert, ...] | None = None
    crl: Command | None = None


@dataclass(frozen=True)
class Known:
    """A device CA the factory knows: trusted in one standing, or revoked. `at`: when the last command was signed."""

    cert: Cert
    standing: str = ENABLED
    at: float = -inf


@dataclass
class Model:
    """The state: `pending` holds the newest keys handed out by kind, `signer` the key of the online CA in use."""

    root: str | None = None
    tls: Cert | None = None
    est: Cert | None = None
    known: dict[int, Known] = field(default_factory=dict)
    pending: dict[str, list[str]] = field(default_factory=lambda: {"tls": [], "est": [], "online": []})
    signer: str | None = None
    applied: set[Command] = field(default_factory=set)

    def trusted(self) -> list[Cert]:
        return [ca.cert for ca in self.known.values() if ca.standing != REVOKED]

    def disabled(self) -> set[int]:
        return {serial for serial, ca in self.known.items() if ca.standing == DISABLED}

    def registers(self) -> bool:
        """Does an online CA sign new devices?"""
        return any(ca.cert.key == self.signer and ca.standing == ENABLED for ca in self.known.values())

    def hand_out(self, kind: str, key: str) -> None:
        self.pending[kind] = [*self.pending[kind], key][-4:]

    # --- what is wrong with an upload

    def faults(self, upload: Upload) -> set[str]:
        """Every rule it breaks; empty if it must be accepted."""
        if upload == Upload():
            return {"upload-empty"}
        if self.root is None and upload.root is None:
            return {"pki-not-initialized"}
        found = set(self._root_faults(upload))
        found |= set(self._server_faults(upload.tls, self.tls, "tls"))
        found |= set(self._server_faults(upload.est, self.est, "est"))
        found |= set(self._list_faults(upload)) | set(self._command_faults(upload))
        if not found and self._after(upload).has_divided_key():
            found.add("crl-key-shared")
        return found

    def _root_faults(self, upload: Upload) -> Iterator[str]:
        if self.root is not None and upload.root not in (None, self.root):
            yield "root-already-set"
        if self.root is None and upload.tls is None:
            yield "proof-of-possession-missing"

    def _server_faults(self, sent: Cert | None, present: Cert | None, kind: str) -> Iterator[str]:
        if sent is None or sent == present:
            return
        if sent.key not in self.pending[kind]:
            yield "key-not-pending"
        if sent.signer != OWNER:
            yield "tls-not-signed-by-root"

    def _list_faults(self, upload: Upload) -> Iterator[str]:
        if upload.cas is None:
            return
        revoking = set() if upload.crl is None else upload.crl.named(REVOKED)
        renewing = set() if upload.crl is None else upload.crl.named(ENABLED)
        missing = [cert for cert in self.trusted() if cert not in upload.cas and cert.serial not in revoking]
        if missing:
            yield "device-ca-missing"
        new = self._newcomers(upload)
        disabling = set() if upload.crl is None else upload.crl.named(DISABLED)
        for cert in new:
            yield from self._newcomer_faults(cert, renewing, disabling)
        serials = [cert.serial for cert in new]
        if len(set(serials)) < len(serials):
            yield "serial-repeated"
        if len([cert for cert in new if cert.key in {*self.pending["online"], self.signer}]) > 1:
            yield "several-online-cas"

    def _newcomers(self, upload: Upload) -> list[Cert]:
        revoking = set() if upload.crl is None else upload.crl.named(REVOKED)
        mentioned = [ca.cert for ca in self.known.values() if ca.cert.serial in revoking]
        sent = dict.fromkeys(upload.cas or ())
        return [cert for cert in sent if cert not in self.trusted() and cert not in mentioned]

    def _newcomer_faults(self, cert: Cert, renewing: set[int], disabling: set[int]) -> Iterator[str]:
        if cert.signer != OWNER:
            yield "ca-not-signed-by-root"
        before = self.known.get(cert.serial)
        if before is not None and before.standing == REVOKED:
            if before.cert != cert or cert.serial not in renewing:
                yield "device-ca-revoked"
        elif before is not None:
            yield "serial-repeated"
        for other in self.known.values():
            if other.cert.key == cert.key and other.standing == DISABLED:
                yield "device-ca-key-disabled"
            if other.cert.key == cert.key and other.standing == REVOKED and other.cert.serial not in renewing:
                yield "device-ca-key-revoked"
        named_otherwise = cert.kind in {"online", "foreign"} and not self._is_online_key(cert.key)
        if named_otherwise and cert.serial not in disabling:
            yield "local-ca-name"

    def _is_online_key(self, key: str) -> bool:
        return key in self.pending["online"] or any(
            ca.cert.kind == "online" and ca.cert.key == key for ca in self.known.values()
        )

    def _command_faults(self, upload: Upload) -> Iterator[str]:
        crl = upload.crl
        if crl is None:
            return
        if crl.signer != OWNER:
            yield "crl-not-signed-by-root"
        if not crl.orders:
            yield "crl-empty"
        if crl in self.applied:
            if any(self.standing(serial) != verdict for serial, verdict in crl.verdicts()):
                yield "crl-replayed"
            return
        for serial, verdict in crl.verdicts():
            ca = self.known.get(serial)
            joins = verdict == DISABLED and any(cert.serial == serial for cert in self._newcomers(upload))
            if ca is None and joins:
                continue
            if ca is None:
                yield "crl-serial-unknown"
                continue
            if crl.at < ca.at:
                yield "crl-outdated"
            returns = verdict == ENABLED and ca.cert in (upload.cas or ())
            if ca.standing == REVOKED and not returns:
                yield "device-ca-revoked"

    def standing(self, serial: int) -> str:
        return self.known[serial].standing if serial in self.known else REVOKED

    def has_divided_key(self) -> bool:
        """Are there two CAs over one key that stand differently?"""
        standings: dict[str, set[str]] = {}
        for ca in self.known.values():
            standings.setdefault(ca.cert.key, set()).add(ca.standing)
        return any(len(of_key) > 1 for of_key in standings.values())

    # --- what an accepted one does

    def apply(self, upload: Upload) -> None:
        after = self._after(upload)
        self.__dict__.update(after.__dict__)

    def _after(self, upload: Upload) -> "Model":
        new = Model(
            self.root or upload.root,
            upload.tls or self.tls,
            upload.est or self.est,
            dict(self.known),
            {kind: list(keys) for kind, keys in self.pending.items()},
            self.signer,
            set(self.applied),
        )
        for sent, kind in ((upload.tls, "tls"), (upload.est, "est")):
            if sent is not None and sent.key in new.pending[kind]:
                new.pending[kind].remove(sent.key)
        for cert in self._newcomers(upload):
            new.known[cert.serial] = Known(cert)
            if cert.key in new.pending["online"]:
                new.pending["online"].remove(cert.key)
                new.signer = cert.key
        if upload.crl is not None and upload.crl not in self.applied:
            new._command(upload.crl)
        return new

    def _command(self, crl: Command) -> None:
        self.applied.add(crl)
        for serial, verdict in crl.verdicts():
            self.known[serial] = replace(self.known[serial], standing=verdict, at=crl.at)
        in_use = {ca.cert.key for ca in self.known.values() if ca.standing != REVOKED}
        if self.signer not in in_use:
            self.signer = None
