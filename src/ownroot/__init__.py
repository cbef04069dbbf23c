"""Ownroot: a self-hosted device gateway whose PKI the fleet's owner can take over completely."""

__version__ = "0.1.0"
