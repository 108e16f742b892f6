"""Denoisers, which give p(z|x): exact or learned, and in which precision; conditions on p(z|x)."""
