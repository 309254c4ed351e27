"""Transactions (RFC 3261 section 17, RFC 6026): they take messages and time, and send through a flow."""

from flexipy.sip.transaction.client import ClientTransaction, ClientUser
from flexipy.sip.transaction.layer import TransactionLayer
from flexipy.sip.transaction.server import ServerTransaction, ServerUser
from flexipy.sip.transaction.states import Durations, Outlet

__all__ = [
    "ClientTransaction",
    "ClientUser",
    "Durations",
    "Outlet",
    "ServerTransaction",
    "ServerUser",
    "TransactionLayer",
]
