"""Image files in, uint8 pixels out: what is there, how it decodes, and a cache of the result."""
