"""What several test packages share: builders, the simulated world, tools of this repository."""
