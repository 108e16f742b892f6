"""What gives p(z|x): exact, learned, in which arithmetic."""
