"""Which gateway name a factory gets: one name from its first day to its last (architecture.md §3).

Devices hold the name in their configuration, so nothing here ever changes one. The base name is the operator's choice;
it is fixed when the first factory is made, since that is the first moment a device may have learned it.
"""

from ownroot.errors import ConflictError
from ownroot.pki.names import parse_dns_name
from ownroot.services.ports import UnitOfWork

BASE_NAME_FACT = "gateway-base-name"
DEFAULT_BASE_NAME = "gateway.localhost"


def stored_base_name(uow: UnitOfWork) -> str | None:
    """Return the server's base name if it is settled."""
    return uow.facts.get(BASE_NAME_FACT)


def settle_base_name(uow: UnitOfWork, wanted: str | None) -> str:
    """Return the server's base name, and store it.

    Args:
        wanted: what the operator asks for now; None takes what is stored, else the default that works on one machine.
    Raises:
        ConflictError: `gateway-name-fixed`: there are factories under another base name already.
        InvalidInputError: `dns-name-invalid`.
    """
    if wanted is None:
        return stored_base_name(uow) or uow.facts.put_once(BASE_NAME_FACT, DEFAULT_BASE_NAME)
    name = parse_dns_name(wanted)
    kept = uow.facts.put_once(BASE_NAME_FACT, name)
    if kept != name:
        raise ConflictError(
            "gateway-name-fixed",
            f"This server's gateway name is {kept}: devices may hold that name, so it cannot become {name}. "
            "Leave --gateway-name out, or use another data directory.",
        )
    return kept
