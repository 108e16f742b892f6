"""Objectives, and the step that minimizes them."""
