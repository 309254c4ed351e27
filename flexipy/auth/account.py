"""An account: a user of a domain and what proves to be that user."""

from __future__ import annotations

from flexipy.sip.digest import ALGORITHMS, compute_ha1


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

    __slots__ = (
        "_algorithm",
        "_ha1",
        "_hashed",
        "_realm",
        "auth_id",
        "domain",
        "md5",
        "password",
        "phone",
        "sha256",
        "user",
    )

    def __init__(
        self,
        user: str,
        domain: str,
        password: str | None = None,
        md5: str = "",
        sha256: str = "",
        auth_id: str = "",
        phone: str = "",
    ) -> None:
        self.user = user
        self.domain = domain
        self.password = password
        self.md5 = md5
        self.sha256 = sha256
        self.auth_id = auth_id
        self.phone = phone
        # The hash of a clear-text password that was asked for last: a device asks for one and the same again and again.
        self._hashed: str | None = None
        self._algorithm = ""
        self._realm = ""
        self._ha1 = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Account) and self._facts() == other._facts()

    def __repr__(self) -> str:
        return f"<Account {self.user}@{self.domain}>"

    def _facts(self) -> tuple[str, str, str | None, str, str, str, str]:
        return self.user, self.domain, self.password, self.md5, self.sha256, self.auth_id, self.phone

    __hash__ = None  # type: ignore[assignment]  # it may change

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
        if self._hashed == self.password and self._algorithm == algorithm and self._realm == realm:
            return self._ha1
        if algorithm not in ALGORITHMS:
            return None
        self._ha1 = compute_ha1(algorithm, self.auth_id or self.user, realm, self.password)
        self._hashed = self.password
        self._algorithm = algorithm
        self._realm = self.domain if realm == self.domain else realm
        return self._ha1
