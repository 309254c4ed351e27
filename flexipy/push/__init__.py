"""Push notifications: what to tell which app, and the services that carry it (RFC 8599)."""
