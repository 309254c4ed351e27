"""Tests of the proxy core: the same fixtures as those of the modules."""

from __future__ import annotations

from tests.unit.modules.conftest import _no_dns, make_proxy  # noqa: F401
