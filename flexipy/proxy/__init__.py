"""The proxy: agent, pipeline, forks, and the public module API (`api.py`)."""
