"""Noise kernels: p(x|z), p(y|x) and what they are made from; values with pure methods."""
