"""What a model is asked to do, and the files that come of it."""
