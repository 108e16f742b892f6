"""Chains that a user steers: events, actions, tiles, history."""
