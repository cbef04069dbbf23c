"""Store what devices told of themselves on their visits, many at a time."""

from collections.abc import Callable, Sequence

from ownroot.services.ports import UnitOfWork
from ownroot.services.records import CheckIn, ConfigFetch, Refusal


def record_check_ins(visits: Sequence[CheckIn]) -> Callable[[UnitOfWork], None]:
    """Return the work that stores coalesced visits; those of devices deleted meanwhile change nothing."""
    return lambda uow: uow.devices.record_check_ins(visits)


def record_config_fetches(fetches: Sequence[ConfigFetch]) -> Callable[[UnitOfWork], None]:
    """Return the work that stores which configurations arrived."""
    return lambda uow: uow.configs.record_fetches(fetches)


def record_refusals(refusals: Sequence[Refusal]) -> Callable[[UnitOfWork], None]:
    """Return the work that stores merged refusals."""
    return lambda uow: uow.refusals.record(refusals)
