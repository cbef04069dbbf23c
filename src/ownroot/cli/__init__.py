"""The owner's command line: one file per noun, one function per verb."""
