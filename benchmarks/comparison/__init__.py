"""What compare.py is made of: servers to start, load to put on them, their processes' use, and the table."""
