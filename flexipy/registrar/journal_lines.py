"""The journal's lines: one change each, checksummed, so that a torn or damaged line is known for what it is.

    CRC TAB kind TAB field TAB field ... LF

Fields are bytes as they came; backslash, tab and line feed are escaped. Kinds: `B` a whole binding, `R` a
refresh that changed only times, Call-ID, CSeq and flow, `D` a removal.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterable

from flexipy.registrar.binding import Binding, Change, ChangeKind
from flexipy.registrar.sharing import shared, shared_path
from flexipy.sip.digits import decimal, hex8, three_digits
from flexipy.sip.errors import SipError
from flexipy.sip.octets import BACKSLASH, LF, TAB
from flexipy.sip.params import decode, encode
from flexipy.sip.uri import SipUri

_BINDING_FIELDS = 18
_ESCAPES = {0x5C: 0x5C, 0x74: 0x09, 0x6E: 0x0A}
# Path values may hold any separator that SIP knows, but never a zero byte.
_PATH_END = b"\x00"


class BadLineError(ValueError):
    """A line that can't be read; the text says why."""


def binding_line(binding: Binding) -> bytes:
    """A whole binding."""
    fields = (
        encode(binding.key),
        encode(binding.unique_id),
        binding.uri_raw,
        binding.contact_params,
        b"" if binding.instance_id is None else encode(binding.instance_id),
        b"" if binding.reg_id is None else b"%d" % binding.reg_id,
        b"%.3f" % binding.q,
        _PATH_END.join(binding.path) if binding.path else b"",
        binding.call_id,
        # one formatting for all numbers that stand together; no field among them needs escaping
        b"%d\t%.3f\t%.3f\t%.3f" % (binding.cseq, binding.expires_at, binding.message_expires_at, binding.updated_at),
        binding.user_agent,
        binding.accept,
        binding.flow_token,
        b"1" if binding.used_as_route else b"0",
    )
    body = b"B\t" + b"\t".join(fields)
    if body.count(b"\t") != _BINDING_FIELDS - 1 or LF in body or BACKSLASH in body:
        numbers = fields[9].split(b"\t")
        body = b"\t".join([b"B", *map(_escape, (*fields[:9], *numbers, *fields[10:]))])
    return b"%08x\t%b\n" % (crc32(body), body)


def refresh_line(binding: Binding) -> bytes:
    """Only what a refresh changes. What a REGISTER is granted is whole seconds."""
    lifetime = binding.expires_at - binding.updated_at
    messages = binding.message_expires_at - binding.updated_at if binding.message_expires_at else 0
    updated = int(binding.updated_at * 1000 + 0.5)
    key = encode(binding.key)
    unique_id = encode(binding.unique_id)
    body = b"R\t%b\t%b\t%b\t%b.%b\t%b\t%b\t%b\t%b" % (
        key,
        unique_id,
        decimal(binding.cseq),
        decimal(updated // 1000),
        three_digits(updated % 1000),
        decimal(int(lifetime + 0.5)),
        decimal(int(messages + 0.5)),
        binding.flow_token,
        binding.call_id,
    )
    further_tab = TAB in key or TAB in unique_id or TAB in binding.flow_token or TAB in binding.call_id
    if further_tab or LF in body or BACKSLASH in body:
        return binding_line(binding)  # rare, and always right
    return b"%b\t%b\n" % (hex8(crc32(body)), body)


def is_refresh(line: bytes) -> bool:
    """Whether a line is one of those that `refresh_line` writes; none of them holds anything escaped."""
    return line[8:11] == b"\tR\t"


def removal_line(binding: Binding) -> bytes:
    """A binding that is gone."""
    return _line(b"D", encode(binding.key), encode(binding.unique_id))


def lines_of(changes: Iterable[Change]) -> bytes:
    """Changes, one after the other; an expiry isn't one, its time is written down already."""
    lines = b""
    for kind, binding in changes:  # nearly always one
        if kind is ChangeKind.EXTENDED:
            lines += refresh_line(binding)
        elif kind is ChangeKind.REMOVED:
            lines += removal_line(binding)
        elif kind is not ChangeKind.EXPIRED:
            lines += binding_line(binding)
    return lines


def _line(*fields: bytes) -> bytes:
    body = b"\t".join(fields)
    if body.count(b"\t") != len(fields) - 1 or LF in body or BACKSLASH in body:
        body = b"\t".join([_escape(field) for field in fields])
    return b"%08x\t%b\n" % (crc32(body), body)


def _escape(field: bytes) -> bytes:
    if BACKSLASH in field:
        field = field.replace(b"\\", b"\\\\")
    if TAB in field:
        field = field.replace(b"\t", b"\\t")
    if LF in field:
        field = field.replace(b"\n", b"\\n")
    return field


def _unescape(field: bytes) -> bytes:
    out = bytearray()
    bytes_ = iter(field)
    for byte in bytes_:
        if byte == 0x5C:
            byte = _ESCAPES.get(next(bytes_, 0), 0)
        out.append(byte)
    return bytes(out)


def fields_of(line: bytes) -> list[bytes]:
    """Take a line apart: its kind, then its fields.

    Raises:
        BadLineError: the checksum is wrong: the line is torn or damaged.
    """
    checksum, tab, body = line.partition(b"\t")
    if not tab or checksum != b"%08x" % crc32(body):
        raise BadLineError("wrong checksum")
    fields = body.split(b"\t")
    return [_unescape(field) for field in fields] if BACKSLASH in body else fields


def read_binding(fields: list[bytes]) -> Binding:
    """The binding of a `B` line.

    Raises:
        BadLineError: not written by this version.
    """
    if len(fields) != _BINDING_FIELDS:
        raise BadLineError(f"{len(fields)} fields in place of {_BINDING_FIELDS}")
    try:
        return Binding(
            decode(fields[1]),
            decode(fields[2]),
            SipUri.parse(fields[3]),
            fields[4],
            decode(fields[5]) if fields[5] else None,
            int(fields[6]) if fields[6] else None,
            float(fields[7]),
            shared_path(tuple(fields[8].split(_PATH_END))) if fields[8] else (),
            fields[9],
            int(fields[10]),
            float(fields[11]),
            float(fields[12]),
            float(fields[13]),
            shared(fields[14]),
            shared(fields[15]),
            fields[16],
            False,
            fields[17] == b"1",
        )
    except (SipError, ValueError) as error:
        raise BadLineError(str(error)) from None


def refresh(binding: Binding, fields: list[bytes]) -> None:
    """Apply an `R` line.

    Raises:
        BadLineError: not written by this version.
    """
    if len(fields) != 9:
        raise BadLineError(f"{len(fields)} fields in place of 9")
    try:
        binding.cseq = int(fields[3])
        binding.updated_at = float(fields[4])
        binding.expires_at = binding.updated_at + int(fields[5])
        messages = int(fields[6])
        binding.message_expires_at = binding.updated_at + messages if messages else 0.0
    except ValueError as error:
        raise BadLineError(str(error)) from None
    binding.flow_token = fields[7]
    binding.call_id = fields[8]
