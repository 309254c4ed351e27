"""Which headers stand where: worked out once for all messages that have the same ones in the same order.

Clients write their headers in an order that never changes, so that thousands of messages share a few shapes. To look
a header up is then to read an attribute, and what is asked about the presence of headers is answered by the shape.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from flexipy.sip import names as H

# Strangers choose the shapes: beyond so many, all are forgotten, and found again as they come.
_MOST_SHAPES: Final = 4096
_MOST_TRANSITIONS: Final = 64
_LONGEST: Final = 64  # headers; a longer one is made anew each time

_NEEDED: Final = (H.CALL_ID, H.CSEQ, H.FROM, H.TO)
_AT_MOST_ONCE: Final = frozenset(
    (*_NEEDED, H.CONTENT_LENGTH, H.CONTENT_TYPE, H.MAX_FORWARDS, H.EXPIRES, H.EVENT, H.MIN_EXPIRES)
)


class Shape:
    """The names of a message's header lines, in order; never changed.

    Attributes:
        names: canonical, one for each line.
        first: each name, and the index of the first line that has it.
        via, from_, to, call_id, cseq, contact, route, max_forwards, content_length, authorization,
            proxy_authorization, supported, proxy_require, content_type: index of the first line of that name; -1 where
            there is none.
        vias, contacts: how many lines have that name.
        missing: a name that each request needs and that is not among these; None where all are.
        twice: a name that may stand once and stands more often; None where none does.
    """

    __slots__ = (
        "_then",
        "_without",
        "authorization",
        "call_id",
        "contact",
        "contacts",
        "content_length",
        "content_type",
        "cseq",
        "first",
        "from_",
        "max_forwards",
        "missing",
        "names",
        "proxy_authorization",
        "proxy_require",
        "route",
        "supported",
        "to",
        "twice",
        "via",
        "vias",
    )

    def __init__(self, names: tuple[bytes, ...]) -> None:
        # Whatever objects somebody made a message of, names can be told apart by identity.
        names = tuple([H.canonical_of.get(name, name) for name in names])
        self.names = names
        first: dict[bytes, int] = {}
        twice: bytes | None = None
        for index, name in enumerate(names):
            if first.setdefault(name, index) != index and twice is None and name in _AT_MOST_ONCE:
                twice = name
        self.first = first
        place = first.get
        self.via: i64 = place(H.VIA, -1)
        self.from_: i64 = place(H.FROM, -1)
        self.to: i64 = place(H.TO, -1)
        self.call_id: i64 = place(H.CALL_ID, -1)
        self.cseq: i64 = place(H.CSEQ, -1)
        self.contact: i64 = place(H.CONTACT, -1)
        self.route: i64 = place(H.ROUTE, -1)
        self.max_forwards: i64 = place(H.MAX_FORWARDS, -1)
        self.content_length: i64 = place(H.CONTENT_LENGTH, -1)
        self.content_type: i64 = place(H.CONTENT_TYPE, -1)
        self.authorization: i64 = place(H.AUTHORIZATION, -1)
        self.proxy_authorization: i64 = place(H.PROXY_AUTHORIZATION, -1)
        self.supported: i64 = place(H.SUPPORTED, -1)
        self.proxy_require: i64 = place(H.PROXY_REQUIRE, -1)
        self.vias: i64 = names.count(H.VIA)
        self.contacts: i64 = names.count(H.CONTACT)
        self.missing: bytes | None = next((name for name in _NEEDED if name not in first), None)
        self.twice = twice
        self._then: dict[bytes, Shape] = {}
        self._without: dict[int, Shape] = {}

    def at(self, name: bytes) -> int:
        """The index of the first line of that name; -1 where there is none."""
        return self.first.get(name, -1)

    def then(self, name: bytes) -> Shape:
        """The shape with one more name, behind the last."""
        found = self._then.get(name)
        if found is None:
            found = shape_of((*self.names, name))
            if len(self._then) >= _MOST_TRANSITIONS:
                self._then.clear()
            self._then[name] = found
        return found

    def without(self, index: int) -> Shape:
        """The shape without the name at an index."""
        found = self._without.get(index)
        if found is None:
            names = list(self.names)
            del names[index]
            found = self._without[index] = shape_of(tuple(names))
        return found


_shapes: Final[dict[tuple[bytes, ...], Shape]] = {}


def shape_of(names: tuple[bytes, ...]) -> Shape:
    """The shape of a message with these names."""
    found = _shapes.get(names)
    if found is None:
        found = Shape(names)
        if len(names) <= _LONGEST:
            if len(_shapes) >= _MOST_SHAPES:
                _shapes.clear()
            _shapes[names] = found
    return found


EMPTY: Final = shape_of(())
