"""The settings file that all linphone programs share."""

from __future__ import annotations

import uuid
from pathlib import Path

from tests.harness.server import DOMAIN, Server

_COMMON: dict[str, dict[str, object]] = {
    "sip": {
        "sip_port": -1,
        "sip_tcp_port": -1,
        "sip_tls_port": -1,
        "default_proxy": 0,
        "guess_hostname": 0,
        "register_only_when_network_is_up": 0,
        "auto_net_state_mon": 0,
        "verify_server_certs": 1,
        "verify_server_cn": 1,
        "media_encryption": "none",
    },
    "net": {"mtu": 1300, "firewall_policy": 0},
    "sound": {"echocancellation": 0},
    "video": {"capture": 0, "display": 0, "automatically_initiate": 0, "automatically_accept": 0},
    "proxy_0": {"reg_expires": 600, "reg_sendregister": 1, "publish": 0, "avpf": 0},
    "auth_info_0": {"algorithm": "MD5"},
}

_CAMERA: dict[str, object] = {
    "capture": 1,
    "display": 1,
    "automatically_initiate": 1,
    "automatically_accept": 1,
    "device": "StaticImage: Static picture",
    "displaytype": "MSExtDisplay",
}


def write_settings(
    server: Server,
    directory: Path,
    user: str,
    password: str,
    transport: str = "udp",
    host: str = "127.0.0.1",
    video: bool = False,
    encryption: str = "none",
    domain: str = DOMAIN,
    contact_parameters: str = "",
    early: bool = False,
    one_codec: bool = False,
) -> None:
    """Write the file `rc` for a linphone with one account, which lives in that directory.

    Args:
        server: to register with.
        directory: for the file.
        user: of the account.
        password: of the account.
        transport: udp, tcp or tls.
        host: the server's address.
        video: whether it shows a still picture, and shows while it rings what the caller sends.
        encryption: of media: none, srtp or dtls.
        domain: of the account.
        contact_parameters: of its contact URI, without a `;` before the first.
        early: whether it describes its media while it rings, also without video.
        one_codec: whether it speaks nothing but G.711 A-law.
    """
    # Without this folder it finds "no listening point".
    (directory / ".local/share/linphone").mkdir(parents=True)
    version6 = ":" in host
    # Its TLS compares names only, never addresses, with the certificate.
    name = "localhost" if transport == "tls" and not version6 else host
    bracketed = f"[{name}]" if ":" in name else name
    proxy = server.uri(transport, name)
    realm = {"realm": domain, "domain": domain}
    settings: dict[str, dict[str, object]] = {
        **_COMMON,
        "sip": {
            **_COMMON["sip"],
            "contact": f"<sip:{user}@{bracketed}>",
            "use_ipv6": int(version6),
            "bind_address": host,
            "root_ca": server.authority.file,
            "media_encryption": encryption,
            "incoming_calls_early_media": int(video or early),
        },
        "rtp": {"bind_address": host, "audio_rtp_port": "30000-34999", "video_rtp_port": "35000-39999"},
        "video": _CAMERA if video else _COMMON["video"],
        "misc": {"uuid": str(uuid.uuid4()), "history_max_size": 0},
        "proxy_0": {
            **_COMMON["proxy_0"],
            "reg_proxy": f"<{proxy}>",
            "reg_route": f"<{proxy};lr>",
            "reg_identity": f"<sip:{user}@{domain}>",
            **({"contact_uri_parameters": contact_parameters} if contact_parameters else {}),
        },
        "auth_info_0": {**_COMMON["auth_info_0"], "username": user, "passwd": password, **realm},
    }
    if one_codec:
        settings["misc"] |= {"add_missing_audio_codecs": 0}
        settings["audio_codec_0"] = {"mime": "PCMA", "rate": 8000, "channels": 1, "enabled": 1}
    text = "".join(
        f"[{section}]\n" + "".join(f"{name}={value}\n" for name, value in values.items())
        for section, values in settings.items()
    )
    (directory / "rc").write_text(text)
