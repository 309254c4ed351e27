"""The commands: the server itself, its control client, its tools."""
