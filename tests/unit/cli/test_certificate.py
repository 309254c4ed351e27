"""The operator's way to a certificate that nobody sells."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from flexipy.cli.authority import CertificateError, Names
from flexipy.cli.certificate import main

FILES = ("ca.pem", "ca-key.pem", "cert.pem", "key.pem")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the command makes."""
    folder = tmp_path_factory.mktemp("certificates") / "tls"
    assert main(["--self-signed", "MyHouse", "--also", "192.168.1.10", "sip.example.org", "--output", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "tls"))


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def alternatives(folder: Path) -> x509.SubjectAlternativeName:
    found = certificate(folder / "cert.pem")
    return found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_it_names_hosts_addresses_and_sip_domains(made: Path) -> None:
    names = alternatives(made)
    assert names.get_values_for_type(x509.DNSName) == ["myhouse", "sip.example.org"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.168.1.10")]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["sip:myhouse", "sip:sip.example.org"]


def test_keys_are_for_their_owner_only(made: Path) -> None:
    modes = {name: (made / name).stat().st_mode & 0o777 for name in FILES}
    assert modes == {"ca.pem": 0o644, "ca-key.pem": 0o600, "cert.pem": 0o644, "key.pem": 0o600}
    assert sorted(path.name for path in made.iterdir()) == sorted(FILES)


def test_the_strictest_check_that_python_has_finds_no_fault(made: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made / "cert.pem", made / "key.pem")
    client = ssl.create_default_context(cafile=str(made / "ca.pem"))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    for name in ("myhouse", "sip.example.org", "192.168.1.10"):
        shake_hands(client, server, name)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server, "elsewhere.example.org")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """A handshake in memory."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there, server_hostname=name), server.wrap_bio(there, back, server_side=True)]
    while ends:
        for end in list(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                pass


def test_the_chain_holds_the_authority(made: Path) -> None:
    assert (made / "cert.pem").read_bytes().endswith((made / "ca.pem").read_bytes())


def test_it_says_what_to_do_with_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--self-signed", "::1", "--output", str(tmp_path), "--days", "30"]) == 0
    told = capsys.readouterr().out
    assert "transports=sip:* sips:[::1]:5061;maddr=*" in told
    assert f"tls-certificates-file={tmp_path}/cert.pem" in told
    assert f"Telephones must trust {tmp_path}/ca.pem" in told
    end = certificate(tmp_path / "cert.pem").not_valid_after_utc
    assert abs(end - datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=30)) < datetime.timedelta(minutes=1)
    assert f"valid until {end:%Y-%m-%d}" in told


def test_what_is_there_is_not_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(folder)
    assert main(["--self-signed", "other", "--output", str(folder)]) == 1
    assert contents(folder) == before
    assert "is there already: --renew makes it anew, --force replaces it" in capsys.readouterr().err


def test_force_replaces_the_certificate_and_keeps_the_authority(folder: Path) -> None:
    before = contents(folder)
    assert main(["--self-signed", "other", "--output", str(folder), "--force"]) == 0
    after = contents(folder)
    assert {name for name in FILES if before[name] != after[name]} == {"cert.pem", "key.pem"}
    assert alternatives(folder).get_values_for_type(x509.DNSName) == ["other"]


def test_renewing_keeps_authority_and_names(folder: Path) -> None:
    before = contents(folder)
    serial, names = certificate(folder / "cert.pem").serial_number, alternatives(folder)
    assert main(["--renew", "--output", str(folder), "--also", "more.test"]) == 0
    after = contents(folder)
    assert {name for name in FILES if before[name] != after[name]} == {"cert.pem", "key.pem"}
    found = certificate(folder / "cert.pem")
    assert found.serial_number != serial
    assert {*alternatives(folder)} - {*names} == {
        x509.DNSName("more.test"),
        x509.UniformResourceIdentifier("sip:more.test"),
    }
    assert not {*names} - {*alternatives(folder)}
    key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert key.public_key() == found.public_key()


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (("ca.pem", "ca-key.pem"), "nothing to renew in"),
        (("cert.pem",), "nothing to renew in"),
        (("ca-key.pem",), "ca-key.pem is missing"),
    ],
)
def test_what_cannot_be_renewed_says_why(
    folder: Path, gone: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in gone:
        (folder / name).unlink()
    assert main(["--renew", "--output", str(folder)]) == 1
    assert said in capsys.readouterr().err


def test_a_certificate_of_somebody_else_is_left_alone(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    assert main(["--self-signed", "myhouse", "--output", str(other)]) == 0
    shutil.copy(other / "cert.pem", folder / "cert.pem")
    assert main(["--renew", "--output", str(folder)]) == 1
    assert "was not signed by" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["*.example.org", "a b", "http://x", "host:5061", "", "a..b", "a" * 64])
def test_what_is_no_name_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--self-signed", name, "--output", str(tmp_path / "tls")]) == 1
    assert "flexipy certificate: " in capsys.readouterr().err
    assert not (tmp_path / "tls").exists()


def test_names_given_twice_stand_once() -> None:
    names = Names.of(["House.", "house", "[::1]", "0:0::1"])
    assert (names.hosts, [str(address) for address in names.addresses]) == (("house",), ["::1"])
    with pytest.raises(CertificateError):
        Names.of(["house_", "*"])


def test_without_the_package_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "flexipy.cli.authority", None)
    assert main(["--self-signed", "house"]) == 1
    assert "-m pip install cryptography" in capsys.readouterr().err


def test_the_server_does_not_import_what_only_the_command_needs() -> None:
    code = "import sys, flexipy.cli.run, flexipy.cli.certificate; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "cryptography" not in loaded
