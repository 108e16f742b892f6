"""Chains that a person steers: events, actions, moments, history."""
