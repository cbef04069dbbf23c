"""Shape of a factory's status summary (protocol: api.md §8)."""

import msgspec


class FactoryStatus(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How many devices a factory has. The tag lists belong to update delivery and are empty without it."""

    total_devices: int
    tags: tuple[str, ...] = ()
    prod_tags: tuple[str, ...] = ()
    wave_tags: tuple[str, ...] = ()
