"""One test per written rule, and independent judges of what we issue."""
