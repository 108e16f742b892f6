"""The configuration of a run: every option once, and how text becomes values."""
