"""Several processes that work as one."""
