"""Certificates of a server and of its authority."""

import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from support.postgres import Cluster

SSL_REQUEST = 80877103


def certify(folder: Path, name: str, issuer: tuple[Any, Any] | None) -> tuple[Any, Any]:
    """Make a key and a certificate for `name`, signed by `issuer` or self-signed, and write both."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    signer, signed_by = (key, subject) if issuer is None else (issuer[0], issuer[1].subject)
    alternatives = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signed_by)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(signer, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{name}.key").write_bytes(private)
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(pem))
    return key, certificate


def serve_with(cluster: Cluster, certificate: Path, key: Path) -> None:
    """Enable TLS with this certificate on a running cluster; skip the test if the server was built without SSL."""
    if cluster.database().query("show ssl_library") == [("",)]:
        pytest.skip("this PostgreSQL was built without SSL")
    data = cluster.folder / "data"
    for source, target in ((certificate, data / "server.crt"), (key, data / "server.key")):
        shutil.copy(source, target)
        target.chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(target, (data / "PG_VERSION").owner())
    cluster.database().execute("alter system set ssl = on")
    cluster.database().execute("select pg_reload_conf()")
    ends = time.monotonic() + 60
    while _offered(cluster) != ssl.PEM_cert_to_DER_cert(certificate.read_text()):
        assert time.monotonic() < ends
        time.sleep(0.02)


def _offered(cluster: Cluster) -> bytes | None:
    """Return the certificate that the server presents, None where TLS is not enabled (yet).

    https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL
    """
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((cluster.url.host, cluster.url.port)) as plain:
        plain.sendall(struct.pack("!ii", 8, SSL_REQUEST))
        if plain.recv(1) != b"S":
            return None
        with context.wrap_socket(plain) as secured:
            return secured.getpeercert(binary_form=True)
