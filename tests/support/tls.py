"""Certificate authorities, and contexts of Python's ssl, which is OpenSSL: on purpose not what the crate uses."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOSTS = ("127.0.0.1", "localhost")
DAY = datetime.timedelta(days=1)
BOTH = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _subject(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Authority:
    """A private root; writes what it issues into `folder`."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(_name(name), self.key.public_key(), x509.BasicConstraints(True, None))
        self.file = str(folder / f"{name}.pem")
        Path(self.file).write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, public_key, constraints, hosts=(), ends=30 * DAY, issuer=None, key=None):
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or _name(self.name))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 90 * DAY)
            .not_valid_after(now + ends)
            .add_extension(constraints, critical=True)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_subject(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(key or self.key, hashes.SHA256())

    def twin(self) -> "Authority":
        """Another one of the same name."""
        folder = self.folder / f"twin-{id(self.key):x}"
        folder.mkdir(exist_ok=True)
        return Authority(folder, self.name)

    def issue(self, hosts=HOSTS, days: float = 30, self_signed: bool = False) -> str:
        """A file with a certificate for these hosts and its key; `days` may lie in the past."""
        key = ec.generate_private_key(ec.SECP256R1())
        own = {"issuer": _name(hosts[0]), "key": key} if self_signed else {}
        leaf = x509.BasicConstraints(False, None)
        certificate = self._sign(_name(hosts[0]), key.public_key(), leaf, hosts, days * DAY, **own)
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path = self.folder / f"{self.name}-{certificate.serial_number:x}.pem"
        path.write_bytes(certificate.public_bytes(pem) + secret)
        return str(path)

    def server(self, identity: str | None = None, versions=BOTH) -> ssl.SSLContext:
        """A server that presents `identity` (a file of `issue`), else one for this machine's names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(identity or self.issue())
        context.minimum_version, context.maximum_version = versions
        context.set_alpn_protocols(["http/1.1"])
        return context

    def client(self, identity: str | None = None) -> ssl.SSLContext:
        """A client that trusts this root alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.file)
        if identity:
            context.load_cert_chain(identity)
        return context
