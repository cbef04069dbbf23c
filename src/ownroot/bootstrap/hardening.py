"""What a process that holds private keys switches off before it reads one."""

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
