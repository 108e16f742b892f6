"""A session as a file: saved, replayed, exported."""
