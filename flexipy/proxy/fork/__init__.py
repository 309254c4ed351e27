"""Response contexts: one request out on one or several branches, and what its sender gets to see."""
