"""What a process of the server settles with the system before it reads a key or opens a socket."""

import ctypes
import resource

_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """No core files, and no memory reads by other processes of this user: either would hold keys in clear."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    prctl = getattr(libc, "prctl", None)  # absent outside Linux, where the limit above is what there is
    if prctl is not None:
        prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_many_open_files() -> None:
    """Allow as many sockets as the system grants: the usual 1024 are taken by strangers who connect and say nothing."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
