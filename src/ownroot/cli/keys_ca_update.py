"""The terminal side of `keys ca update`."""

from pathlib import Path

from ownroot.cli.change_run import upload_change
from ownroot.cli.options import Target
from ownroot.cli.owner_pki import device_cas_of
from ownroot.cli.pki_directory import PkiDirectory, read_text
from ownroot.client.api import Api
from ownroot.console.output import Output
from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.pki.encoding import certificate_pem
from ownroot.wire.certs import CertsUpload


def update_device_cas(target: Target, source: Path, *, as_json: bool) -> None:
    """Send a file as it is, or the device CAs of a directory after those trusted now."""
    access, output = target.access(), Output(as_json=as_json)
    with Api(access) as api:
        bundle = _of_directory(api, source) if source.is_dir() else read_text(source)
        if not bundle or not bundle.strip():
            raise InvalidInputError("no-device-cas", f"There are no certificates to send in {source}.")
        upload_change(api, CertsUpload(ca_crt=bundle), output.note)
    if as_json:
        output.document({"factory": access.factory, "sent": str(source.absolute())})
    output.line(
        f"The device CAs of factory {access.factory} are up to date. Look at them: ownroot keys ca show --pretty"
    )


def _of_directory(api: Api, directory: Path) -> str:
    answer = api.certs()
    if not answer.is_taken_over:
        raise NotFoundError(
            "pki-not-set-up", f"There is no root to add device CAs under yet; {directory} was not sent."
        )
    ours = "\n".join(certificate_pem(ca) for ca in device_cas_of(PkiDirectory(directory)))
    return "\n".join(part for part in (answer.certs.ca_crt, ours) if part)
