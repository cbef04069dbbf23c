"""Walking a class hierarchy, for tests that every member of it is accounted for."""

from collections.abc import Iterator
from typing import TypeVar

Base = TypeVar("Base")


def walk_subclasses(base: type[Base]) -> Iterator[type[Base]]:
    """Yield every subclass, however deep, once the modules that define them are imported."""
    for family in base.__subclasses__():
        yield family
        yield from walk_subclasses(family)
