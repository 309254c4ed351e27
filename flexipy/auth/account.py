"""An account: a user of a domain and what proves to be that user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from flexipy.sip.digest import ALGORITHMS, compute_ha1

# HA1 of clear-text accounts: each is asked for once with every request of its device.
_HA1_LIMIT: Final = 10000
_cached_ha1 = lru_cache(maxsize=_HA1_LIMIT)(compute_ha1)


@dataclass(slots=True)
class Account:
    """One user of one domain.

    Attributes:
        user: unescaped user part of the address.
        domain: lower case.
        password: in clear text, None where only hashes are known.
        md5: HA1 by MD5, lower-case hexadecimal; made with the domain for realm or, where the server has a realm of
            its own, with that. Empty where it isn't known.
        sha256: HA1 by SHA-256.
        auth_id: the user name in digest credentials where it isn't `user`; empty otherwise.
        phone: another number of that user; may be empty.
    """

    user: str
    domain: str
    password: str | None = None
    md5: str = ""
    sha256: str = ""
    auth_id: str = ""
    phone: str = ""

    @property
    def hashes(self) -> dict[str, str]:
        """The HA1 that are known, by algorithm as `flexipy.sip.digest.ALGORITHMS` names it."""
        known = {"MD5": self.md5, "SHA-256": self.sha256}
        return {algorithm: ha1 for algorithm, ha1 in known.items() if ha1}

    @property
    def auth_name(self) -> str:
        """The user name that its credentials must bear."""
        return self.auth_id or self.user

    def ha1(self, algorithm: str, realm: str) -> str | None:
        """The hash to check a digest response with, None where it isn't known for that algorithm.

        Args:
            algorithm: as `flexipy.sip.digest.ALGORITHMS` names it.
            realm: of the challenge; a clear-text password gives a hash for any.
        """
        if self.password is None:
            ha1 = self.md5 if algorithm == "MD5" else self.sha256 if algorithm == "SHA-256" else ""
            return ha1 or None
        if algorithm not in ALGORITHMS:
            return None
        return _cached_ha1(algorithm, self.auth_id or self.user, realm, self.password)
