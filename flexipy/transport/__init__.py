"""Everything that touches a socket for SIP: UDP, TCP, TLS, WS and WSS, flows, and finding servers by name.

`transports.Transports` is the door; `flow.Flow` is what the rest of the house holds in its hands.
"""
