"""Images -> features -> statistics -> scores."""
