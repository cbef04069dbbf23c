"""Files that appear whole or not at all; on return they are on disk under their name."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_new_file(path: Path, content: bytes, *, mode: int) -> None:
    """Create a file; on return it is on disk under its name with this mode, whatever the umask.

    The content is written and synced under a temporary name first and then linked to its own: unlike a rename, a link
    fails when the name is taken, so two writers cannot overwrite each other and a power cut leaves no half file.

    Raises:
        FileExistsError: the name is taken; what is there was not touched.
        OSError: anything else; nothing is left behind.
    """
    with _complete_temporary(path, content, mode) as temporary:
        os.link(temporary, path)
    sync_directory(path.parent)


def replace_file(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file whole, in place of one that may be there; readers see the old content or the new, nothing else.

    Never for keys: what was there is gone.

    Raises:
        OSError: nothing changed and nothing is left behind.
    """
    with _complete_temporary(path, content, mode) as temporary:
        temporary.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names of a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _complete_temporary(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Write and sync a file beside its future name; whatever happens, nothing of it stays under the temporary one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
