"""The error families of Ownroot and their stable codes.

A family answers one question: whose turn is it now? The caller's (`InvalidInputError`, `RefusedError`,
`NotFoundError`, `ConflictError`), the key holder's (`KeyStoreError`), or nobody's but time's
(`UnavailableError`). HTTP statuses and exit codes are chosen at the edges, never here.
"""

from collections.abc import Mapping


class OwnrootError(Exception):
    """Base of every error of ours; never raised itself.

    Args:
        code: stable, kebab-case name of the rule or fault; part of the contract with users.
        detail: one or more sentences for a person, safe to show to whoever sent the request.
        fields: faults of single input fields, safe to show (field name -> sentence).
        context: for the log only; may hold what the sender must not see, never a private key.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        fields: Mapping[str, str] | None = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.fields = dict(fields or {})
        self.context = dict(context or {})


class InvalidInputError(OwnrootError):
    """The input is not what it claims to be: bad PEM, a bad CSR, a profile mismatch."""


class RefusedError(OwnrootError):
    """Understood and not allowed: no proof of possession, CA disabled, wrong factory."""


class UnauthenticatedError(OwnrootError):
    """Nobody vouches for the sender: no token, or one we do not know."""


class NotFoundError(OwnrootError):
    """There is no such thing, or none the sender may see."""


class ConflictError(OwnrootError):
    """The state moved or the name is taken."""


class KeyStoreError(OwnrootError):
    """The key store cannot serve: wrong PIN, token gone, key not exportable."""


class UnavailableError(OwnrootError):
    """It may work later.

    Args:
        retry_after: seconds after which another try makes sense.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        retry_after: int,
        fields: Mapping[str, str] | None = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(code, detail, fields=fields, context=context)
        self.retry_after = retry_after
