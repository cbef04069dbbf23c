"""The backend's REST API for owners and their programs."""
