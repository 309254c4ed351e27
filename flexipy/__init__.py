"""flexipy: an all-in-one SIP server in Python."""

__version__ = "0.1.0"
