"""Files that appear whole or not at all, and never take the place of another."""

import os
import tempfile
from pathlib import Path


def write_new_file(path: Path, content: bytes, *, mode: int) -> None:
    """Create a file; on return it is on disk under its name with this mode, whatever the umask.

    The content is written and synced under a temporary name first and then linked to its own: unlike a rename, a link
    fails when the name is taken, so two writers cannot overwrite each other and a power cut leaves no half file.

    Raises:
        FileExistsError: the name is taken; what is there was not touched.
        OSError: anything else; nothing is left behind.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file whole, in place of one that may be there; readers see the old content or the new, nothing else.

    Never for keys: what was there is gone.

    Raises:
        OSError: nothing changed and nothing is left behind.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names of a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
