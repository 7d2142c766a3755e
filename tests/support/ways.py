"""What stands between a company and the world: TLS of a CA of its own, and a proxy that asks for a password."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def company_ca(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A CA's certificate as a file, and a server's context with one that it signed for 127.0.0.1."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Company CA")]),
    )
    now = dt.datetime.now(dt.UTC)

    def built(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, is_ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )  # fmt: skip
        if not is_ca:
            place = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(place, critical=False)
        return builder.sign(key, hashes.SHA256())

    own = ec.generate_private_key(ec.SECP256R1())
    ca = built(name, key.public_key(), is_ca=True)
    server = built(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]), own.public_key(), is_ca=False)
    file, chain = folder / "company-ca.pem", folder / "server.pem"
    file.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(private + server.public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    return file, context


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError, ValueError):
        while data := one.recv(65536):
            other.sendall(data)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _joined(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()
    one.close()
    other.close()


@contextmanager
def _listening(serve: object) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()  # type: ignore[arg-type]

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def tls_front(port: int, context: ssl.SSLContext) -> Iterator[str]:
    """TLS in front of a plain server of this machine; its address."""

    def serve(connection: socket.socket) -> None:
        try:
            secured = context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        _joined(secured, socket.create_connection(("127.0.0.1", port)))

    with _listening(serve) as own:
        yield f"https://127.0.0.1:{own}"


@dataclass
class Proxy:
    """A forward proxy that passes CONNECT on to whoever gives the right login."""

    login: str = ""
    asked: list[str] = field(default_factory=list)
    refused: int = 0
    url: str = ""

    def serve(self, connection: socket.socket) -> None:
        head = b""
        with suppress(OSError):
            while b"\r\n\r\n" not in head:
                data = connection.recv(4096)
                if not data:
                    break
                head += data
        lines = head.decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        given = next(
            (line.split(" ", 2)[2] for line in lines if line.lower().startswith("proxy-authorization: basic ")), ""
        )
        expected = base64.b64encode(self.login.encode()).decode() if self.login else ""
        if method != "CONNECT" or given != expected:
            self.refused += 1
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            connection.close()
            return
        host, _, port = rest.split(" ")[0].rpartition(":")
        self.asked.append(rest.split(" ")[0])
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        _joined(connection, socket.create_connection((host, int(port))))


@contextmanager
def forward_proxy(login: str = "") -> Iterator[Proxy]:
    """A proxy on a free port; `login` is USER:PASSWORD."""
    one = Proxy(login)
    with _listening(one.serve) as port:
        one.url = f"http://127.0.0.1:{port}"
        yield one
