"""Slows down those who guess passwords, and can say why.

Only failed credentials count, never a challenge: every client's first request is challenged. One device with
an old password must not lock out the house it stands in, so repeated failures of one user from one address
count for that pair, and an address or a user as a whole is judged by how many different ones failed with it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Final

_LONGEST: Final = 128  # characters of a user's name
_KEPT: Final = 100


@dataclass(slots=True, frozen=True)
class Limit:
    """How many failures in which time lead to how long a ban; times in seconds."""

    failures: int
    window: float
    ban: float


@dataclass(slots=True, frozen=True)
class Ban:
    """Somebody who has to wait.

    Attributes:
        kind: `address`, `user`, or `user at address`.
        key: who.
        until: when it ends.
        failures: how many were counted.
        reason: a sentence for people.
    """

    kind: str
    key: str
    since: float
    until: float
    failures: int
    reason: str


@dataclass(slots=True)
class _Entry:
    times: list[float] = field(default_factory=list)
    since: float = 0.0
    until: float = 0.0


class FailureWindow:
    """Counts failures by key in a sliding window.

    Args:
        kind: what a key is, for `Ban.kind`.
        limit: when to ban.
        capacity: keys remembered; beyond it the one whose last failure is longest ago is forgotten.
    """

    def __init__(self, kind: str, limit: Limit, capacity: int = 10000) -> None:
        self.kind = kind
        self.limit = limit
        self.capacity = capacity
        # A plain dict finds its first entry only by passing all that were deleted before it.
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def check(self, key: str, now: float) -> float:
        """Seconds that a key still has to wait, 0 for none."""
        entry = self._entries.get(key)
        if entry is None or entry.until <= now:
            return 0.0
        return entry.until - now

    def failed(self, key: str, now: float) -> int:
        """Count one failure; returns how many there are in the window."""
        entry = self._entries.pop(key, None) or _Entry()
        self._entries[key] = entry  # last in line to be forgotten
        if len(self._entries) > self.capacity:
            self._entries.popitem(last=False)
        start = now - self.limit.window
        entry.times = [time for time in entry.times if time > start]
        entry.times.append(now)
        if len(entry.times) >= self.limit.failures and entry.until <= now:
            entry.since = now
            entry.until = now + self.limit.ban
        count = len(entry.times)
        if count > self.limit.failures:
            del entry.times[: count - self.limit.failures]
        return count

    def forget(self, key: str) -> bool:
        """Take a key's failures and ban back; whether there were any."""
        return self._entries.pop(key, None) is not None

    def why(self, key: str, now: float) -> Ban | None:
        """The ban of a key, None where it has none."""
        entry = self._entries.get(key)
        if entry is None or entry.until <= now:
            return None
        limit = self.limit
        reason = (
            f"{self.kind} {key}: {len(entry.times)} wrong passwords within {limit.window:g} s, "
            f"must wait {entry.until - now:.0f} s more"
        )
        return Ban(self.kind, key, entry.since, entry.until, len(entry.times), reason)

    def bans(self, now: float) -> list[Ban]:
        """All who have to wait."""
        found = (self.why(key, now) for key in self._entries)
        return [ban for ban in found if ban is not None]


class GuessThrottle:
    """Decides whether credentials are looked at, by address and user.

    Args:
        pair: limit for one user from one address.
        address: limit for one address, counted in different users that failed from it.
        user: limit for one user, counted in different addresses it failed from.
        capacity: keys remembered of each kind; of places where somebody got in, at least half as many.

    Attributes:
        quiet: no failure is remembered, so that `check` would let everybody pass.
    """

    def __init__(
        self,
        pair: Limit = Limit(10, 60.0, 60.0),
        address: Limit = Limit(10, 300.0, 600.0),
        user: Limit = Limit(10, 300.0, 300.0),
        capacity: int = 10000,
    ) -> None:
        self._pairs = FailureWindow("user at address", pair, capacity)
        self._addresses = FailureWindow("address", address, capacity)
        self._users = FailureWindow("user", user, capacity)
        # Who has got in from where, in two generations: to leave the older one behind costs nothing, while to forget
        # the oldest of a dictionary costs more the more it holds.
        self._trusted: set[tuple[str, str]] = set()
        self._trusted_before: set[tuple[str, str]] = set()
        self._generation = max(1, capacity // 2)
        self.quiet = True

    def check(self, address: str, user: str, now: float) -> float:
        """Seconds until credentials will be looked at again, 0 for at once.

        A user who has once got in from an address isn't kept out there by guesses made elsewhere.

        Args:
            address: where the request came from.
            user: `user@domain` of the credentials.
            now: seconds.
        """
        network = network_of(address)
        user = _short(user)
        pair = _pair(user, network)
        wait = max(self._pairs.check(pair, now), self._addresses.check(network, now))
        if not self._has_been_in(network, user):
            wait = max(wait, self._users.check(user, now))
        return wait

    def failed(self, address: str, user: str, now: float) -> None:
        """Note a wrong password."""
        self.quiet = False
        network = network_of(address)
        user = _short(user)
        if self._pairs.failed(_pair(user, network), now) == 1:
            self._addresses.failed(network, now)
            self._users.failed(user, now)

    def succeeded(self, address: str, user: str) -> None:
        """Note a right password: the user's own failures are forgotten, the address's are not."""
        network = network_of(address)
        user = _short(user)
        place = (network, user)
        if place not in self._trusted:
            if len(self._trusted) >= self._generation:
                self._trusted_before, self._trusted = self._trusted, set()
            self._trusted.add(place)
        if self.quiet:
            return  # nothing to forget: nearly always
        self._pairs.forget(_pair(user, network))
        self._users.forget(user)
        self.quiet = not (self._pairs or self._addresses or self._users)

    def why(self, address: str, user: str, now: float) -> list[Ban]:
        """The bans that keep this user out at this address."""
        network = network_of(address)
        user = _short(user)
        pair = _pair(user, network)
        found = [self._pairs.why(pair, now), self._addresses.why(network, now)]
        if not self._has_been_in(network, user):
            found.append(self._users.why(user, now))
        return [ban for ban in found if ban is not None]

    def _has_been_in(self, network: str, user: str) -> bool:
        place = (network, user)
        return place in self._trusted or place in self._trusted_before

    def bans(self, now: float) -> list[Ban]:
        """Everybody who has to wait, the longest first."""
        found = self._pairs.bans(now) + self._addresses.bans(now) + self._users.bans(now)
        return sorted(found, key=lambda ban: -ban.until)

    def unban(self, key: str) -> bool:
        """Let in again who `Ban.key` names; whether there was anything to undo."""
        found = sum(window.forget(key) for window in (self._pairs, self._addresses, self._users)) > 0
        self.quiet = not (self._pairs or self._addresses or self._users)
        return found


def network_of(address: str) -> str:
    """What counts as one place: an IPv4 address, or an IPv6 network of 64 bits, which one host may roam."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"


def _short(user: str) -> str:
    """A name to keep: guessers choose them, and theirs may be as long as a datagram."""
    if len(user) <= _LONGEST:
        return user
    return f"{user[:_KEPT]}...{blake2b(user.encode('utf-8', 'surrogateescape'), digest_size=8).hexdigest()}"


def _pair(user: str, network: str) -> str:
    return f"{user} from {network}"
