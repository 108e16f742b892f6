"""The session file: written, replayed, exported."""
