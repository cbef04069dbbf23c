"""A device renews its certificate: step by step, each on record before the next (protocol: gateway.md §7.2).

Everything up to the switch is said with the present key, which stays good until the gateway has seen the next one. A
run that was cut anywhere goes on where it was; what was done and not recorded is done again, which changes nothing. A
refusal before the next key was announced ends the renewal: nobody has heard of that key, and another try makes a new
one. After that nothing is given up, since values may be encrypted to the next key alone.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509

from ownroot.clock import utc_now
from ownroot.device.check_in import check_in, open_gateway
from ownroot.device.config_copy import ConfigCopy
from ownroot.device.files import CHAIN_FILE
from ownroot.device.identity import DeviceIdentity, load_identity, read_certificate
from ownroot.device.identity_slots import IdentitySlots
from ownroot.device.renewal_calls import Enrolled, RenewalCalls, enrol
from ownroot.device.renewal_config import encrypt_copy, encrypt_own_values
from ownroot.device.renewal_order import RenewalOrder
from ownroot.device.renewal_room import require_spare
from ownroot.device.renewal_state import RenewalFile, RenewalState, Rotation, Step
from ownroot.device.slots import opened_slots
from ownroot.errors import ConflictError, KeyStoreError, OwnrootError, RefusedError, UnavailableError
from ownroot.pki.encoding import parse_certificates
from ownroot.pki.signer import PrivateKey

Say = Callable[[str], None]


class _Named(NamedTuple):
    """A step as events call it, and what it does."""

    name: str
    act: Callable[["Renewal"], None]


@dataclass(frozen=True, slots=True)
class Renewed:
    """A renewal that came to its end. `resumed`: an earlier run had begun it."""

    id: str
    certificate: x509.Certificate
    resumed: bool


def resume_renewal(directory: Path, say: Say, order: RenewalOrder | None = None) -> Renewed | None:
    """End a renewal that was cut; None if there is none.

    Args:
        order: what was pushed since, perhaps with the right address of the EST server.
    Raises:
        OwnrootError: as `renew`; the next run goes on.
    """
    file = RenewalFile(directory)
    if file.load().rotation is None:
        return None
    with file.held():
        _redirect(file, order, say)
        return _finish(directory, say, resumed=True)


def renew(directory: Path, order: RenewalOrder, say: Say) -> Renewed | None:
    """Renew the certificate of a registered device, over a new key; one that was under way is ended instead.

    None: another program has just carried out this very order of the owner.

    Args:
        say: is told what a person may want to know; none of it stops the renewal.
    Raises:
        RefusedError, InvalidInputError, ConflictError: the EST server or the gateway refuses, or `pki.renewed` or
            `renewal_room` does.
        UnavailableError: `renewal-busy`; somebody cannot be reached. The next run goes on.
        KeyStoreError: a key cannot be made or read.
    """
    file = RenewalFile(directory)
    with file.held():
        state = file.load()
        resumed = state.rotation is not None
        if resumed:
            _redirect(file, order, say)
        elif order.is_pushed and order.id == state.carried_out:
            return None
        else:
            _begin(directory, order, say)
        return _finish(directory, say, resumed=resumed)


def _redirect(file: RenewalFile, order: RenewalOrder | None, say: Say) -> None:
    """Go on at another EST server, if the one asked so far has given no certificate: its address may be wrong."""
    state = file.load()
    rotation = state.rotation
    if order is None or rotation is None or not order.names_est:
        return
    if rotation.step is not Step.BEGUN or rotation.est == order.est:
        return
    say(f"The renewal {rotation.id} got no certificate from {rotation.est}. It goes on at {order.est}.")
    moved = replace(rotation, est=order.est)
    if order.is_pushed:
        moved = replace(moved, id=order.id, is_pushed=True)
    file.save(replace(state, rotation=moved))


def _begin(directory: Path, order: RenewalOrder, say: Say) -> None:
    """Record that a renewal has begun, and tell the gateway. Raises as `require_spare`, with nothing changed."""
    identity = load_identity(directory)
    with opened_slots(directory, identity) as slots:
        slots.require_switchable()
        require_spare(slots, identity)
        slots.make_room()
    identity = load_identity(directory)
    places = identity.places
    rotation = Rotation(
        id=order.id,
        est=order.est,
        source=places.source,
        key=places.key,
        certificate=places.certificate,
        is_pushed=order.is_pushed,
    )
    file = RenewalFile(directory)
    file.save(replace(file.load(), rotation=rotation))
    RenewalCalls(order.id, say).tell(identity, "CertRotationStarted")


def _finish(directory: Path, say: Say, *, resumed: bool) -> Renewed:
    state = RenewalFile(directory).load()
    with opened_slots(directory, _present(directory, state)) as slots:
        return Renewal(directory, state, slots, say).finish(resumed=resumed)


def _present(directory: Path, state: RenewalState) -> DeviceIdentity:
    return load_identity(directory).at(state.under_way.places)


class Renewal:
    """One renewal. Whoever uses it holds the directory.

    Args:
        state: with the rotation that is under way.
    """

    def __init__(self, directory: Path, state: RenewalState, slots: IdentitySlots, say: Say) -> None:
        self._directory = directory
        self._file = RenewalFile(directory)
        self._before = replace(state, rotation=None)
        self._rotation = state.under_way
        self._say = say
        self._present = _present(directory, state)
        self._slots = slots
        self._calls = RenewalCalls(self._rotation.id, say)
        self._may_go_back = True

    def finish(self, *, resumed: bool) -> Renewed:
        """Do what is left. Raises as `renew`."""
        while self._rotation.step < Step.SEEN:
            self._take(_STEPS[self._rotation.step])
        if self._rotation.is_recovery:
            # Until now the gateway took nothing from this device but its request for a certificate.
            with open_gateway(load_identity(self._directory)) as gateway:
                encrypt_own_values(gateway, self._slots.keys(), self._say, announced=False)
        self._slots.settle()
        done = self._rotation
        carried_out = done.id if done.is_pushed else self._before.carried_out
        self._file.save(RenewalState(completed=done.id, carried_out=carried_out))
        identity = load_identity(self._directory)
        self._calls.tell(identity, "CertRotationCompleted")
        return Renewed(self._rotation.id, read_certificate(identity), resumed)

    def _take(self, step: _Named) -> None:
        before = self._rotation.step
        try:
            step.act(self)
        except OwnrootError as error:
            self._fail(step, error)
            return
        self._record(replace(self._rotation, step=Step(before + 1)))
        if step.name:
            self._calls.tell(self._present, step.name)

    def _fail(self, step: _Named, error: OwnrootError) -> None:
        """Go back to the announcement if the gateway has forgotten it, else end this run. Raises the error."""
        if self._may_go_back and _is_forgotten(error, self._rotation.step):
            self._may_go_back = False
            if self._is_announced_again():
                return
        if step.name:
            self._calls.tell(self._present, step.name, fault=error.detail)
        if self._rotation.step is Step.BEGUN and isinstance(error, UnavailableError):
            est = self._rotation.est
            self._say(f"It asks {est}; another address: a new order of the owner, or `ownroot-device renew --est`.")
        if self._rotation.step < Step.ANNOUNCED and not isinstance(error, UnavailableError | KeyStoreError):
            self._give_up()
        raise error

    def _is_announced_again(self) -> bool:
        try:
            self._announce()
        except OwnrootError:
            return False  # the first error says more
        return True

    def _give_up(self) -> None:
        # What is said is why the renewal failed. A next key that stays is used by the next try.
        with suppress(OwnrootError):
            self._file.save(self._before)
            self._slots.discard_next()

    def _record(self, rotation: Rotation) -> None:
        self._file.save(replace(self._before, rotation=rotation))
        self._rotation = rotation

    def _certify(self) -> None:
        present = read_certificate(self._present)
        is_recovery = present.not_valid_after_utc < utc_now()
        key = self._slots.find_or_create_next_key()
        enrolled = self._enrol(present, key)
        self._slots.keep(enrolled.certificate, enrolled.issuer)
        self._rotation = replace(self._rotation, is_recovery=is_recovery)

    def _announce(self) -> None:
        """Say which key comes next. An expired device cannot: its renewal says it, when repeated once more too."""
        next_key = self._slots.find_or_create_next_key()
        if not self._rotation.is_recovery:
            self._calls.announce(self._present, next_key.public_key())
        elif self._rotation.step >= Step.ANNOUNCED:
            self._enrol(read_certificate(self._present), next_key)

    def _enrol(self, present: x509.Certificate, key: PrivateKey) -> Enrolled:
        chain = self._directory / CHAIN_FILE
        known = parse_certificates(chain.read_text(encoding="ascii"))[1:] if chain.exists() else ()
        return enrol(self._present, self._rotation.est, present, key, known_cas=known)

    def _encrypt_copy(self) -> None:
        encrypt_copy(ConfigCopy(self._directory), self._slots.keys(), self._say)

    def _encrypt_values(self) -> None:
        if not self._rotation.is_recovery:
            with open_gateway(self._present) as gateway:
                encrypt_own_values(gateway, self._slots.keys(), self._say, announced=True)

    def _switch(self) -> None:
        self._slots.switch()

    def _show(self) -> None:
        identity = load_identity(self._directory)
        with open_gateway(identity) as gateway:
            check_in(identity, gateway)


def _is_forgotten(error: OwnrootError, done: Step) -> bool:
    """Has the gateway, as it seems, no next key of ours? Its owner can cancel a rotation at any moment."""
    if done is Step.COPY_ENCRYPTED:
        return isinstance(error, ConflictError)
    return done is Step.SWITCHED and isinstance(error, RefusedError)


_STEPS: Final = (
    _Named("Generate new certificate", Renewal._certify),
    _Named("Lock device configuration on server", Renewal._announce),
    _Named("Update local configuration with new key", Renewal._encrypt_copy),
    _Named("Update device specific configuration on server with new key", Renewal._encrypt_values),
    _Named("Finalize aktualizr configuration", Renewal._switch),
    _Named("", Renewal._show),
)
"""At each index what follows after that `Step`. The last one promotes the key; it has no event of its own."""
