"""The tests: one file per module, run by `python -m tests`."""
