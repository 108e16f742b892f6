"""Sampling: tasks for a model, requests of users, and the picture files."""
