"""The one error family that only exists where a person sits."""

from ownroot.errors import OwnrootError


class DeclinedError(OwnrootError):
    """A person was asked and said no, or could not be asked; nothing was done."""
