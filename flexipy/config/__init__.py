"""The configuration: what may stand in it, reading it, writing it, and the language of its filters."""
