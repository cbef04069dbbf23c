"""The terminal side of what is looked at and copied: roots, and the targets keys of a key file."""

import gzip
import io
import tarfile
from pathlib import Path
from types import MappingProxyType

from ownroot.cli.options import Target
from ownroot.cli.tuf_key_file import EMPTY, KeyFile, digest_of
from ownroot.cli.tuf_key_store import KeyFileStore
from ownroot.cli.tuf_roots import verify_roots, walk
from ownroot.client.repository import RepositoryApi
from ownroot.clock import utc_now
from ownroot.console.output import Output
from ownroot.errors import ConflictError, KeyStoreError, NotFoundError
from ownroot.keystore.durable import write_new_file
from ownroot.tuf.canonical import decode
from ownroot.tuf.keys import parse_key
from ownroot.tuf.metadata import ROOT_MAX_OCTETS, Role

_MODE = 0o644


def run_show_root(target: Target, *, production: bool, keys: Path | None, as_json: bool) -> None:
    """Print a root as it is served. Raises as `verify_roots`."""
    output = Output(as_json=as_json)
    file = EMPTY if keys is None else KeyFileStore(keys).read()
    with RepositoryApi(target.access()) as api:
        verified = verify_roots(api, file)
    data = verified.production if production else verified.ci
    since = f"root {verified.anchor}, which this key file knew" if verified.is_anchor_known else "root 1 of this server"
    output.note(f"Verified up from {since}. SHA-256 {digest_of(data)}")
    if verified.root.expires <= utc_now():
        output.warn(f"The root has expired on {verified.root.expires:%Y-%m-%d}: ownroot keys tuf resign-root KEYS.tgz")
    output.document(decode(data, max_octets=2 * ROOT_MAX_OCTETS))


def run_download_roots(target: Target, file: Path, *, production: bool, as_json: bool) -> None:
    """Write all roots into a new archive. Raises as `walk`; ConflictError `tuf-key-file-exists`."""
    output = Output(as_json=as_json)
    with RepositoryApi(target.access()) as api:
        roots, trust = walk(api, None, production=production)
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for version, root in enumerate(roots, start=1):
            member = tarfile.TarInfo(f"{version}.root.json")
            member.size, member.mode = len(root), _MODE
            archive.addfile(member, io.BytesIO(root))
    try:
        write_new_file(file, gzip.compress(plain.getvalue(), mtime=0), mode=_MODE)
    except FileExistsError as exc:
        raise ConflictError("tuf-key-file-exists", f"There is a file {file} already.") from exc
    except OSError as exc:
        raise KeyStoreError("tuf-key-file-unwritable", f"{file} cannot be written: {exc.strerror}.") from exc
    if as_json:
        output.document({"file": str(file), "roots": len(roots), "sha256": digest_of(trust.root_data)})
    output.line(f"{len(roots)} roots are in {file}. The newest has SHA-256 {digest_of(trust.root_data)}")


def run_copy_targets(target: Target, keys: Path, out: Path, *, as_json: bool) -> None:
    """Copy active targets keys into a new key file.

    Raises:
        NotFoundError: `tuf-key-not-in-file`. ConflictError: `tuf-key-file-exists`; and as `verify_roots`.
    """
    output = Output(as_json=as_json)
    source, copy = KeyFileStore(keys).read(), KeyFileStore(out)
    copy.require_free()
    with RepositoryApi(target.access()) as api:
        verified = verify_roots(api, source)
        online = parse_key(decode(api.online_targets_key(), max_octets=ROOT_MAX_OCTETS))
    offline = [key_id for key_id in verified.root.roles[Role.TARGETS].key_ids if key_id != online.key_id]
    held = [key_id for key_id in offline if source.holds(key_id)]
    if not held:
        raise NotFoundError("tuf-key-not-in-file", f"{keys} has no active targets key of this factory.")
    stems = tuple(source.keys[key_id][0] + "." for key_id in held)
    members = {name: data for name, data in source.members.items() if name.startswith(stems)}
    copy.replace(KeyFile(MappingProxyType(members)).with_known_roots(verified.ci, verified.production))
    if as_json:
        output.document({"file": str(out), "keys": held})
    output.line(f"{len(held)} targets keys are in {out} now. {keys} was left as it is.")
