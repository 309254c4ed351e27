"""Runs a classic BPF program as the kernel does, on one packet; asks whether the kernel does so."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from flexipy.workers.steering import NO_ADVICE, attach

_WORD = 0xFFFFFFFF
_SIZES = {0x00: 4, 0x08: 2, 0x10: 1}


@cache
def kernel_steers() -> bool:
    """Whether programs can choose among the sockets of a UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(("127.0.0.1", 0))
            attach(sock, NO_ADVICE)
        except OSError:
            return False
    return True


class BeyondTheEnd(Exception):
    """A load from behind the packet's last byte, which ends a program with 0."""


@dataclass
class Machine:
    """The registers of a run."""

    packet: bytes
    a: int = 0
    x: int = 0
    store: dict[int, int] = field(default_factory=dict)

    def run(self, program: Sequence[tuple[int, int, int, int]]) -> int:
        """What the program returns; BeyondTheEnd where it reads what is not there."""
        at = 0
        while True:
            code, if_true, if_false, k = program[at]
            at += 1
            kind = code & 0x07
            if kind == 0x06:
                return k
            if kind == 0x05:
                at += k if code == 0x05 else if_true if self._holds(code, k) else if_false
            else:
                self._step(code, kind, k)

    def _holds(self, code: int, k: int) -> bool:
        return {0x15: self.a == k, 0x25: self.a > k, 0x35: self.a >= k}[code]

    def _step(self, code: int, kind: int, k: int) -> None:
        if kind == 0x00:
            self.a = self._loaded(code, k)
        elif kind == 0x01:
            self.x = {0x01: k, 0x61: self.store.get(k, 0)}[code]
        elif kind in (0x02, 0x03):
            self.store[k] = self.a if kind == 0x02 else self.x
        elif kind == 0x04:
            self.a = self._computed(code, self.x if code & 0x08 else k) & _WORD
        elif code == 0x07:
            self.x = self.a
        else:
            assert code == 0x87, code
            self.a = self.x

    def _loaded(self, code: int, k: int) -> int:
        mode = code & 0xE0
        if mode == 0x00:
            return k
        if mode == 0x60:
            return self.store[k]
        if mode == 0x80:
            return len(self.packet)
        start = k + (self.x if mode == 0x40 else 0)
        loaded = self.packet[start : start + _SIZES[code & 0x18]]
        if len(loaded) < _SIZES[code & 0x18]:
            raise BeyondTheEnd(start)
        return int.from_bytes(loaded)

    def _computed(self, code: int, operand: int) -> int:
        match code & 0xF0:
            case 0x00:
                return self.a + operand
            case 0x10:
                return self.a - operand
            case 0x20:
                return self.a * operand
            case 0x70:
                return self.a >> operand
            case 0x90:
                return self.a % operand
        raise AssertionError(code)
