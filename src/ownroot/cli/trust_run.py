"""The terminal side of `trust export` and `trust watch`."""

from collections.abc import Mapping
from pathlib import Path

from ownroot.cli.options import Target
from ownroot.cli.trust_directory import TrustDirectory
from ownroot.cli.trust_events import WatchEvents
from ownroot.cli.trust_files import Format, TrustedCa
from ownroot.cli.trust_reload import ReloadCommand
from ownroot.cli.trust_source import Pin, TrustSource, read_pin
from ownroot.cli.trust_watch import TrustWatch
from ownroot.console.output import Output
from ownroot.console.stopping import Stopping
from ownroot.errors import InvalidInputError
from ownroot.pki.encoding import certificate_sha256


def export_trust(
    target: Target, *, root: Path | None, pki_dir: Path | None, form: Format, directory: Path | None, as_json: bool
) -> None:
    """Print the only file of a format, or write all of them to a directory."""
    pin, output = read_pin(root, pki_dir), Output(as_json=as_json)
    source = TrustSource(target, pin, form)
    access = source.access()
    cas = source.ask(access)
    files = source.files(cas)
    if directory is None:
        _print(files, form, output)
    else:
        TrustDirectory(directory).write(files)
        for name in files:
            output.line(f"Wrote {directory / name}")
    if as_json:
        output.document(_document(access.factory, pin, cas, files, directory, form))


def watch_trust(
    target: Target,
    *,
    root: Path | None,
    pki_dir: Path | None,
    form: Format,
    directory: Path,
    reload: str | None,
    interval_seconds: float,
    once: bool,
    as_json: bool,
) -> None:
    """Keep the files of a format as the factory's trust is; once, or until a signal."""
    source = TrustSource(target, read_pin(root, pki_dir), form)
    command = None if reload is None else ReloadCommand.parse(reload)
    place, events = TrustDirectory(directory), WatchEvents(Output(as_json=as_json), directory)
    watch = TrustWatch(source, place, events, reload=command, interval_seconds=interval_seconds)
    with place.held():
        if once:
            watch.once()
            return
        with Stopping.on_signals() as stopping:
            watch.follow(stopping)


def _print(files: Mapping[str, bytes], form: Format, output: Output) -> None:
    if len(files) > 1:
        raise InvalidInputError("directory-missing", f"The format {form} has several files. Name a place: --dir DIR")
    for content in files.values():
        output.line(content.decode().rstrip("\n"))


def _document(
    factory: str,
    pin: Pin,
    cas: tuple[TrustedCa, ...],
    files: Mapping[str, bytes],
    directory: Path | None,
    form: Format,
) -> dict[str, object]:
    return {
        "factory": factory,
        "format": form.value,
        "root-sha256": certificate_sha256(pin.root).hex(),
        "device-cas": [{"serial": ca.serial, "disabled": ca.disabled} for ca in cas],
        "files": {name: content.decode() for name, content in files.items()}
        if directory is None
        else [str(directory / name) for name in files],
    }
