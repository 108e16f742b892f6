"""The distributions that chains are made of: p(z|x) and p(y|x)."""
