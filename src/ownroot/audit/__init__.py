"""The closed vocabulary of audit events and the hash chain over them; pure."""
