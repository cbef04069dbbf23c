"""The registration server: gives devices their certificates on a factory floor, with a local CA, without a backend."""
