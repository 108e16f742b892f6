"""Noise kernels: p(x|z) and p(y|x), as values with pure methods."""
