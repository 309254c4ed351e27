"""Who may use the server: accounts, and the throttling of those who guess."""
