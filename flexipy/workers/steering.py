"""Has the kernel give a datagram to the worker that it belongs to, so that it need not be handed over.

All workers bind the same UDP ports (SO_REUSEPORT, socket(7)). A classic BPF program of that group of sockets
(SO_ATTACH_REUSEPORT_CBPF) chooses the one that gets a datagram. It sees the datagram from its first byte of payload and
returns the place of a socket among those of the group; a number beyond them lets the kernel choose, by addresses and
ports. So it does for what can be dealt with anywhere, and for what would take longer to find out. What the program says
is advice: each worker asks `ownership`, and hands over what came to it nevertheless.

Such programs know no loops: a search is written out for every place, up to 4096 instructions. To read beyond the end of
the datagram would end the program with 0, the first socket; so the length is asked for before.

The user that a MESSAGE is for stands at one place, and is taken as he is written. What is searched elsewhere has ten
bytes: the line's beginning with Call-ID (RFC 3261 section 20.8), or the end of what all branches of ours begin with
(section 8.1.1.7). Wherever it stands, one of the words of four bytes that are read at
every seventh place lies in it as a whole, and is one of its seven words.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

Instruction = tuple[int, int, int, int]
"""Code, distance to jump if true, distance if not, operand: `struct sock_filter`."""
Program = tuple[Instruction, ...]

ELSEWHERE: Final = 0xFFFFFFFF
"""What a program returns to let the kernel choose."""
LONGEST: Final = 4096  # instructions: BPF_MAXINSNS

_SO_ATTACH_REUSEPORT_CBPF: Final = getattr(socket, "SO_ATTACH_REUSEPORT_CBPF", 51)
_FILTER: Final = struct.Struct("=HBBI")  # struct sock_filter
_PROGRAM: Final = struct.Struct("@HP")  # struct sock_fprog

# linux/bpf_common.h. A is the accumulator, X the index register, M[] sixteen words of store, k the operand.
_LD_WORD: Final = 0x20  # A = four bytes from k on
_LD_WORD_X: Final = 0x40  # ... from X + k on
_LD_HALF_X: Final = 0x48  # two bytes
_LD_BYTE_X: Final = 0x50
_LD_LENGTH: Final = 0x80
_LD: Final = 0x00  # A = k
_LD_STORE: Final = 0x60  # A = M[k]
_ST: Final = 0x02  # M[k] = A
_LDX: Final = 0x01  # X = k
_LDX_STORE: Final = 0x61
_STX: Final = 0x03
_TAX: Final = 0x07  # X = A
_TXA: Final = 0x87
_ADD: Final = 0x04
_ADD_X: Final = 0x0C
_SUB_X: Final = 0x1C
_MUL: Final = 0x24
_RSH: Final = 0x74
_MOD: Final = 0x94
_JA: Final = 0x05  # forward by k, as far as one likes; the others by 255 at most
_JEQ: Final = 0x15
_JGT: Final = 0x25
_JGE: Final = 0x35
_RET: Final = 0x06

_GIVE_UP: Final[Instruction] = (_RET, 0, 0, ELSEWHERE)
NO_ADVICE: Final[Program] = (_GIVE_UP,)
"""A program that leaves all to the kernel."""
_CALL_ID: Final = b"\r\nCall-ID:"
_WANTED: Final = len(_CALL_ID)
_STRIDE: Final = _WANTED - 3  # so many words are in it
_BLOCK: Final = 6  # places that are read after the length was asked for once
_SHORTEST: Final = 64  # bytes
# Where Call-IDs and our Vias are looked for: from which byte on, to which. A program that the kernel finds too long for
# `net.core.optmem_max`, 20 kB before Linux 6.8, is replaced by one that sees less far.
_REQUESTS: Final = 34
_RESPONSES: Final = 24
_REACHES: Final = ((760, 360), (400, 160), (320, 160), (240, 120))


def programs(places: Mapping[int, int], branch_prefix: bytes, keys: Sequence[int], count: int) -> Iterable[Program]:
    """What can be attached, the best first.

    Args:
        places: of the workers' sockets in the group, by the worker's number.
        branch_prefix: what our branches begin with; the worker's number follows, two hexadecimal digits.
        keys: of `ownership`.
        count: how many workers there are when all are there.
    """
    for requests, responses in _REACHES:
        to_call_id = (*_find(_CALL_ID, _REQUESTS, requests, 1 + len(keys)), *_behind_colon())
        to_user = (*_user(), (_JA, 0, 0, len(to_call_id)))
        by_branch = (
            *_find(branch_prefix[-_WANTED:], _RESPONSES, responses, 2),
            (_LD_HALF_X, 0, 0, _WANTED),
            *_choose({int.from_bytes(b"%02x" % worker): place for worker, place in places.items()}),
        )
        by_name = (*_weigh(keys), *_fall_to(count), *_choose(places))
        yield (*_sort(len(by_branch), len(to_user)), *by_branch, *to_user, *to_call_id, *by_name)


def attach(sock: socket.socket, program: Program) -> None:
    """Let a program choose among the sockets of a group, in place of the one before.

    Args:
        sock: any of them.
        program: see `programs`.

    Raises:
        OSError: the kernel does not do that, or the program is too long for it (ENOMEM).
    """
    code = ctypes.create_string_buffer(b"".join(_FILTER.pack(*instruction) for instruction in program))
    argument = _PROGRAM.pack(len(program), ctypes.addressof(code))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, argument)


def _word(text: bytes) -> int:
    return int.from_bytes(text[:4])


def _sort(responses: int, messages: int) -> Program:
    """Tell responses from requests, and let go what is neither or can be dealt with anywhere.

    Args:
        responses: how long the part for responses is, which follows.
        messages: how long the one for MESSAGE is, behind it; then comes the one for other requests.
    """
    return (
        (_LD_LENGTH, 0, 0, 0),
        (_JGE, 1, 0, _SHORTEST),
        _GIVE_UP,
        (_LD_WORD, 0, 0, 0),
        (_JEQ, 0, 1, _word(b"SIP/")),
        (_JA, 0, 0, 8),
        (_JEQ, 0, 1, _word(b"MESSAGE")),
        (_JA, 0, 0, responses + 6),
        (_JEQ, 3, 0, _word(b"REGISTER")),
        (_RSH, 0, 0, 24),
        (_JGT, 1, 0, ord("Z")),  # all methods there are have capital letters
        (_JGE, 1, 0, ord("A")),
        _GIVE_UP,
        (_JA, 0, 0, responses + messages),
    )


def _find(wanted: bytes, start: int, end: int, behind: int) -> Program:
    """Have X be where ten bytes stand; go on behind this part with that, or leave.

    Args:
        wanted: those bytes.
        start: the first place where they may stand, 6 at least.
        end: behind the last one.
        behind: bytes that must follow them.
    """
    words = [_word(wanted[at:]) for at in range(_STRIDE)]
    places = range(start + _STRIDE - 1, end + _STRIDE - 1, _STRIDE)
    search: list[Instruction] = []
    hits: list[int] = []
    for number, place in enumerate(places):
        if number % _BLOCK == 0:
            last = places[min(number + _BLOCK, len(places)) - 1]
            search += [(_LD_LENGTH, 0, 0, 0), (_JGE, 1, 0, last + 4), _GIVE_UP]
        search.append((_LD_WORD, 0, 0, place))
        search += [(_JEQ, len(words) - 1 - at, 0, word) for at, word in enumerate(words[:-1])]
        search.append((_JEQ, 0, 2, words[-1]))
        search.append((_LDX, 0, 0, place - _STRIDE + 1))
        hits.append(len(search))
        search.append((_JA, 0, 0, 0))
    search.append(_GIVE_UP)
    for hit in hits:
        search[hit] = (_JA, 0, 0, len(search) - hit - 1)
    return (*search, *_look_closer(wanted, behind))


def _look_closer(wanted: bytes, behind: int) -> Program:
    """Ten bytes stand at X or at one of the six places behind it, perhaps: have X be where they do, or leave."""
    steps: list[Instruction] = []
    step = 5
    for number in range(_STRIDE):
        steps += [(_LD_WORD_X, 0, 0, 0), (_JEQ, (_STRIDE - number) * step - 1, 0, _word(wanted))]
        steps += [(_TXA, 0, 0, 0), (_ADD, 0, 0, 1), (_TAX, 0, 0, 0)]
    return (
        (_LD_LENGTH, 0, 0, 0),
        (_SUB_X, 0, 0, 0),
        (_JGE, 1, 0, _STRIDE - 1 + _WANTED + behind),
        _GIVE_UP,
        *steps,
        _GIVE_UP,
        (_LD_WORD_X, 0, 0, 4),
        (_JEQ, 1, 0, _word(wanted[4:])),
        _GIVE_UP,
        (_LD_HALF_X, 0, 0, 8),
        (_JEQ, 1, 0, int.from_bytes(wanted[8:])),
        _GIVE_UP,
    )


def _behind_colon() -> Program:
    """Have X be where a Call-ID begins; one blank may stand before it, as in nearly all messages."""
    return (
        (_LD_BYTE_X, 0, 0, _WANTED),
        (_JEQ, 0, 2, ord(" ")),
        (_LD, 0, 0, _WANTED + 1),
        (_JA, 0, 0, 1),
        (_LD, 0, 0, _WANTED),
        (_ADD_X, 0, 0, 0),
        (_TAX, 0, 0, 0),
    )


def _user() -> Program:
    """Have X be where the user of a MESSAGE begins; leave if it is none to a SIP URI."""
    return (
        (_LD_WORD, 0, 0, 4),
        (_JEQ, 0, 2, _word(b"AGE ")),
        (_LD_WORD, 0, 0, 8),
        (_JEQ, 1, 0, _word(b"sip:")),
        _GIVE_UP,
        (_LDX, 0, 0, 12),
    )


def _weigh(keys: Sequence[int]) -> Program:
    """Have A be the sum of the bytes at X up to an `@` or blank, each times its key; leave if there are none.

    Args:
        keys: 28 at most; more bytes than those do not count.
    """
    total, start = 0, 1  # in M[]
    steps: list[Instruction] = []
    step = 9
    for number, key in enumerate(keys):
        rest = (len(keys) - number) * step - 2
        steps += [(_LD_BYTE_X, 0, 0, number), (_JGT, 0, rest, ord(" ")), (_JEQ, rest - 1, 0, ord("@"))]
        steps += [(_MUL, 0, 0, key), (_TAX, 0, 0, 0)]
        steps += [(_LD_STORE, 0, 0, total), (_ADD_X, 0, 0, 0), (_ST, 0, 0, total), (_LDX_STORE, 0, 0, start)]
    return (
        (_LD_BYTE_X, 0, 0, 0),
        (_JGT, 1, 0, ord(" ")),
        _GIVE_UP,
        (_STX, 0, 0, start),
        (_LD, 0, 0, 0),
        (_ST, 0, 0, total),
        *steps,
        (_LD_STORE, 0, 0, total),
    )


def _fall_to(count: int) -> Program:
    """Have A be the worker, as `ownership` finds it."""
    return ((_RSH, 0, 0, 16), (_MOD, 0, 0, count))


def _choose(places: Mapping[int, int]) -> Program:
    """Return the place of the socket of whom A names."""
    choices: list[Instruction] = []
    for name, place in places.items():
        choices += [(_JEQ, 0, 1, name), (_RET, 0, 0, place)]
    return (*choices, _GIVE_UP)
