"""Who may change a factory's PKI and what proves it; pure."""
