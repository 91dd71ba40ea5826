"""TLS for the headset's page: browsers give WebXR to secure pages only. A given certificate, or one made here.

One that is made here is trusted by nobody: the browser warns once, and the person goes on after comparing its
fingerprint with the one that the node prints. `openssl` makes it; it lives with its key in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import socket
import ssl
import subprocess
from pathlib import Path

from controllers.cache import cache_root
from retake.errors import UserError

DAYS = 397  # browsers refuse longer ones
RENEW_S = 7 * 86400
NOWHERE = "192.0.2.1"  # reserved for documentation; nothing is sent there


def own_address() -> str:
    """The address of this machine on its network, loopback when it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((NOWHERE, 9))  # UDP: only looks up the route
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def context(cert: str, key: str, hosts: list[str]) -> tuple[ssl.SSLContext, str]:
    """A server's TLS context and the fingerprint (SHA-256) of its certificate, made for `hosts` when none is given.

    Raises:
        UserError: the files are no certificate with its key, or `openssl` is missing.
    """
    if bool(cert) != bool(key):
        raise UserError("cert and key belong together; give both files, or none to have them made")
    files = (Path(cert), Path(key)) if cert else self_made(hosts)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        made.load_cert_chain(*files)
        der = ssl.PEM_cert_to_DER_cert(files[0].read_text().partition("-----END CERTIFICATE-----")[0]
                                       + "-----END CERTIFICATE-----\n")
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        names = " and ".join(map(str, files))
        raise UserError(f"no TLS with {names} ({error}); give a PEM certificate and its key") from error
    digest = hashlib.sha256(der).hexdigest().upper()
    return made, ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def self_made(hosts: list[str]) -> tuple[Path, Path]:
    """Certificate and key for these names and addresses, made once and again a week before it ends."""
    folder = cache_root() / "webxr"
    name = hashlib.sha256(",".join(sorted(hosts)).encode()).hexdigest()[:16]
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    if key.exists() and cert.exists() and _openssl("x509", "-checkend", str(RENEW_S), "-noout", "-in", str(cert)):
        return cert, key
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    named = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
    fresh = [path.with_suffix(f"{path.suffix}.{os.getpid()}") for path in (cert, key)]
    done = _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                    str(DAYS), "-subj", "/CN=retake", "-addext", f"subjectAltName={named}", "-out", str(fresh[0]),
                    "-keyout", str(fresh[1]))
    if not done:
        raise UserError(f"openssl could not make a certificate for {named}; make one and give it with cert and key")
    fresh[1].chmod(0o600)
    for made, path in zip(fresh, (cert, key), strict=True):
        made.replace(path)
    return cert, key


def _openssl(*words: str) -> bool:
    try:
        return subprocess.run(["openssl", *words], capture_output=True, timeout=30).returncode == 0
    except FileNotFoundError:
        raise UserError("openssl is missing, which makes the page's certificate; apt install openssl, or give cert and "
                        "key") from None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
