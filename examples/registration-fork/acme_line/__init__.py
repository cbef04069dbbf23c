"""ACME's extension of the Ownroot registration server."""
