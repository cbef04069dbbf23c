"""Pages for people; they read and act through services and own no rules."""
