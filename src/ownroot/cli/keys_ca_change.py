"""The terminal side of `keys ca add-device-ca` and `rotate-tls`."""

from datetime import timedelta
from pathlib import Path

from ownroot.cli.change_run import ChangeRun, Made
from ownroot.cli.hsm import HsmKeys
from ownroot.cli.options import Target
from ownroot.cli.pki_directory import BACKUP_SUFFIX, ONLINE_CA_FILE, PkiDirectory, key_label
from ownroot.cli.root_key import open_root
from ownroot.client.api import Api
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.pki.encoding import certificate_sha256
from ownroot.pki.serials import serial_text
from ownroot.pki.traits import Traits


def add_device_cas(
    target: Target,
    directory: Path,
    *,
    online_ca: bool,
    local_ca_file: str | None,
    hsm: HsmKeys | None,
    backdate: timedelta,
    as_json: bool,
) -> None:
    """Add the device CAs and say where they are."""
    access, output = target.access(), Output(as_json=as_json)
    pki = PkiDirectory(directory, hsm, backdate=backdate)
    with Api(access) as api:
        run = ChangeRun(api, pki, open_root=lambda: open_root(pki), now=utc_now(), say=output.note)
        made = run.add_device_cas(online_ca=online_ca, local_ca_file=local_ca_file)
    if as_json:
        output.document({"factory": access.factory, "device-cas": [_document(pki, each) for each in made]})
    for each in made:
        kind = "online" if each.name == ONLINE_CA_FILE else "local"
        output.line(f"The factory trusts a new {kind} device CA: {pki.path / each.name}")
        output.line(f"  serial {_serial(each)}, valid until {each.certificate.not_valid_after_utc:%Y-%m-%d}")
        if each.name == ONLINE_CA_FILE:
            output.line("  Devices that register from now on get their certificates from it. Earlier ones go on.")
        elif hsm is None or hsm.local_ca_label is None:
            output.line(f"  Its key {key_label(each.name)}.key is here alone. Take both to the site they are for.")


def rotate_tls(target: Target, directory: Path, *, hsm: HsmKeys | None, backdate: timedelta, as_json: bool) -> None:
    """Rotate and say what the gateway shows now."""
    access, output = target.access(), Output(as_json=as_json)
    pki = PkiDirectory(directory, hsm, backdate=backdate)
    with Api(access) as api:
        run = ChangeRun(api, pki, open_root=lambda: open_root(pki), now=utc_now(), say=output.note)
        made = run.rotate_tls()
    if as_json:
        names = Traits.of(made.certificate).dns_names
        output.document({"factory": access.factory, "tls": _document(pki, made) | {"dns-names": names}})
    output.line(f"The gateway has a new key and certificate: {pki.path / made.name}")
    output.line(f"  serial {_serial(made)}, valid until {made.certificate.not_valid_after_utc:%Y-%m-%d}")
    output.line("  New connections see it at once; open ones finish with the old one. Devices need nothing new.")
    if made.resumed:
        output.line("An earlier run had made it. Run the command again if you want yet another one.")


def _serial(made: Made) -> str:
    return serial_text(made.certificate.serial_number)


def _document(directory: PkiDirectory, made: Made) -> dict[str, object]:
    backup = directory.path / (made.name + BACKUP_SUFFIX)
    return {
        "file": str((directory.path / made.name).absolute()),
        "before": str(backup.absolute()) if backup.exists() else None,
        "serial": _serial(made),
        "sha256": certificate_sha256(made.certificate).hex(),
        "not-after": made.certificate.not_valid_after_utc.isoformat(),
        "resumed": made.resumed,
    }
