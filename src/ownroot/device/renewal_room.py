"""Whether a renewal may empty the place of the next identity: not while the gateway may know the device by that one.

`sota.toml` may be older than the last renewal (a restored backup), and the record of a renewal may be lost. The key
beside the present one is then perhaps the only one that is let in, and on a token there is no copy of it. So the
gateway is asked first, whatever the device's clock says. A device it calls expired is not asked who it is; then what
lies in the other place must not last longer than the present certificate.

One loss remains, on a token: values that were encrypted for a next key whose renewal is not on record any more.
"""

from ownroot.device.check_in import check_in, open_gateway
from ownroot.device.identity import DeviceIdentity, read_certificate
from ownroot.device.identity_slots import IdentitySlots
from ownroot.errors import ConflictError, RefusedError, UnauthenticatedError

_NOT_THE_GATEWAYS_WORD = frozenset({"gateway-not-trusted", "server-not-trusted"})
_EXPIRED = "device-expired"


def require_spare(slots: IdentitySlots, present: DeviceIdentity) -> None:
    """See that nobody needs what lies in the place of the next identity; changes nothing.

    Raises:
        RefusedError: `present-identity-refused`, or as `check_in`.
        ConflictError: `other-identity-newer`.
        OwnrootError: as `open_gateway` and `check_in`; what the gateway thinks is not known.
    """
    try:
        with open_gateway(present) as gateway:
            check_in(present, gateway)
    except (RefusedError, UnauthenticatedError) as error:
        if error.code in _NOT_THE_GATEWAYS_WORD:
            raise
        if error.code != _EXPIRED:
            raise _refused(error) from error
        _require_none_newer(slots, present)


def _refused(error: RefusedError | UnauthenticatedError) -> RefusedError:
    return RefusedError(
        "present-identity-refused",
        f"The gateway does not let in the key and certificate that sota.toml names: {error.detail} ({error.code}) "
        "So nothing is renewed, and no other key of this device is destroyed: it may be the one the gateway knows.",
    )


def _require_none_newer(slots: IdentitySlots, present: DeviceIdentity) -> None:
    other = slots.other_certificate()
    if other is not None and other.not_valid_after_utc > read_certificate(present).not_valid_after_utc:
        raise ConflictError(
            "other-identity-newer",
            "The certificate that sota.toml names has ended, and beside it lies one of this device that is good until "
            f"{other.not_valid_after_utc:%Y-%m-%d}. So nothing is renewed, and its key is not destroyed: it may be the "
            "one the gateway knows.",
        )
