"""SIP itself: messages, URIs, headers, transactions; no sockets, no clock."""
