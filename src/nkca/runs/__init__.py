"""A training run in a directory."""
