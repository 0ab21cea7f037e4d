"""A certificate authority that nobody knows, and what it has signed for 127.0.0.1."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def authority(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """The authority's certificate in a file in `directory`, and what a server needs that it vouches for."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(1)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name, name = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in ("authority", "127.0.0.1")
    )
    base = x509.CertificateBuilder().not_valid_before(now - day).not_valid_after(now + day).issuer_name(root_name)
    root = (
        base.subject_name(root_name).public_key(root_key.public_key()).serial_number(1)
        .add_extension(x509.BasicConstraints(True, None), True).sign(root_key, hashes.SHA256())
    )  # fmt: skip
    leaf = (
        base.subject_name(name).public_key(key.public_key()).serial_number(2)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(root_key, hashes.SHA256())
    )  # fmt: skip
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    (directory / "authority.pem").write_bytes(root.public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    (directory / "server.pem").write_bytes(leaf.public_bytes(pem) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return directory / "authority.pem", context
