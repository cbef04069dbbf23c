"""What a serving process does about its heap."""

import gc


def spare_the_garbage_collector() -> None:
    """Keep what is loaded now out of every collection, and collect seldom.

    What a request leaves behind is freed by its last reference; with Python's own thresholds the collector looked
    through all that is under way several times for each registration.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
