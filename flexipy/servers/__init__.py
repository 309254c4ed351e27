"""One file per server role; they wire the rooms together."""
