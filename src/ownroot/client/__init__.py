"""Client for the backend API and the gateway."""
