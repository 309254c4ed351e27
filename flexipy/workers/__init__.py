"""Several processes that are one server: who owns which message, and what they tell each other."""
