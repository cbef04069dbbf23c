"""What a fleet is told to be, as values and rules: configuration of factory, group and device; no input or output."""
