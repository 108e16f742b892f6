"""A trained chain and the file that holds it."""
