"""Refusing by the octets of a message, without reading it: for a storm, in which refusing is most of the work.

What is answered here has the usual form: one that nearly all clients write, full header names, nothing folded. Whatever
hasn't, and whatever may belong to something that exists, is left to the long way, where `overload.py` decides. Both
ways answer alike.
"""

from __future__ import annotations

import re
from typing import Final

from flexipy.proxy import routing
from flexipy.proxy.overload import waits
from flexipy.sip.transaction import TransactionLayer
from flexipy.transport.flow import Flow
from flexipy.transport.load import ALL_NEW

# Other methods seldom stand outside of dialogs.
_OPENING: Final = frozenset((b"REGISTER", b"INVITE", b"MESSAGE", b"OPTIONS", b"SUBSCRIBE", b"PUBLISH"))
# Request line and Vias. The groups: method; topmost Via up to the end of its branch, therein sent-by, `;rport`, branch;
# `;rport` behind the branch; the Vias below.
_BEGINNING: Final = re.compile(
    rb"([A-Z]+) [^ \r\n]+ SIP/2\.0\r\n"
    rb"Via: (SIP/2\.0/[A-Z]+ ([^;, \t\r\n]+)(;rport)?;branch=(z9hG4bK[^;, \t\r\n]+))(;rport)?"
    rb"((?:\r\nVia: [^\r\n]+)*)\r\n"
)
# From, To, Call-ID and CSeq in any order, with what some clients write between them.
_NAMES: Final = re.compile(
    rb"(?:(?:From: ([^\r\n]+)|To: ([^\r\n]+)|Call-ID: ([^ \t\r\n]+)|CSeq: ([^\r\n]+)"
    rb"|(?:Max-Forwards|Contact|Route|Date): [^\r\n]+)\r\n)+"
)
_FOLDED_OR_CUT_OFF: Final = (b" ", b"\t", b"")
_CREDENTIALS: Final = b"uthorization: "  # whatever its first letter
_FURTHER_VIA: Final = b"\r\nVia:"
_FURTHER_COMPACT_VIA: Final = b"\r\nv:"


class Refusals:
    """Refuses new requests, and takes in the ACKs of those refused.

    Args:
        layer: what exists.
        counters: numbers for operators.
        retry_after: seconds after which the first may come again; the last wait twice as long.
        server_header: the value of the Server header; empty for none.
    """

    __slots__ = ("_counters", "_endings", "_layer")

    def __init__(
        self, layer: TransactionLayer, counters: dict[str, int], retry_after: float, server_header: bytes
    ) -> None:
        self._layer = layer
        self._counters = counters
        server = b"Server: " + server_header + b"\r\n" if server_header else b""
        self._endings = [
            b"\r\nContent-Length: 0\r\nRetry-After: %d\r\n%b\r\n" % (seconds, server) for seconds in waits(retry_after)
        ]

    def deals_with(self, data: bytes, flow: Flow, level: int) -> bool:
        """Refuse a message if it is sure that it is to be refused; take in an ACK if nobody waits for it.

        Args:
            data: the message.
            flow: where it came from.
            level: of the load, above NOTHING.

        Returns:
            False where somebody has to read it.
        """
        if level < ALL_NEW and data.find(_CREDENTIALS) >= 0:
            return False
        beginning = _BEGINNING.match(data)
        if beginning is None:
            return False
        names = _NAMES.match(data, beginning.end())
        if names is None or _may_go_on(data, names.end()):
            return False
        answer = self._answer(beginning.groups(b""), names.groups(b""), flow)
        if answer:
            self._counters["refused_by_overload"] += 1
            flow.send(answer)
        return answer is not None

    def _answer(self, beginning: tuple[bytes, ...], names: tuple[bytes, ...], flow: Flow) -> bytes | None:
        """The 503 (RFC 3261 section 8.2.6.2); empty for an ACK of one; None for what has to be read."""
        method, via, sent_by, rport, branch, rport_behind, below = beginning
        from_, to, call_id, cseq = names
        if not from_ or not to or not call_id or not cseq:
            return None
        key = branch + b" " + sent_by  # as `server_key` makes it
        if method == b"ACK":
            is_ours = key not in self._layer.servers and to.endswith(b">;tag=" + routing.own_tag(call_id))
            return b"" if is_ours else None
        if method not in _OPENING or to.lower().find(b"tag") >= 0:
            return None
        if method != b"INVITE":
            key = key + b" " + method
        if key in self._layer.servers or self._layer.given_answer(key) is not None:
            return None
        if rport_behind:
            via = via + flow.via_stamp  # RFC 3581 section 4
        elif rport:
            via = via.replace(rport, flow.via_stamp, 1)
        elif sent_by != flow.remote_host_port:
            return None
        ending = self._endings[hash(call_id) % len(self._endings)]
        tag = routing.own_tag(call_id)
        return (
            b"SIP/2.0 503 Service Unavailable\r\nVia: %b%b\r\nFrom: %b\r\nTo: %b;tag=%b\r\nCall-ID: %b\r\nCSeq: %b%b"
            % (via, below, from_, to, tag, call_id, cseq, ending)
        )


def _may_go_on(data: bytes, end: int) -> bool:
    """Whether the last of the header lines before `end` may be folded, or Vias may stand behind them."""
    return (
        data[end : end + 1] in _FOLDED_OR_CUT_OFF
        or data.find(_FURTHER_VIA, end - 2) >= 0
        or data.find(_FURTHER_COMPACT_VIA, end - 2) >= 0
    )
