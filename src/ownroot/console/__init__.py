"""What every program of ours shares on a terminal: exit codes, error texts, lazy commands, completion."""
