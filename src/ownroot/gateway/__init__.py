"""The device gateway: mutual TLS, device identity, device endpoints."""
