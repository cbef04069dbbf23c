"""A fleet of simulated devices, deterministic from a seed."""
