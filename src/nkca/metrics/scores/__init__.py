"""Scores: pure functions of features."""
