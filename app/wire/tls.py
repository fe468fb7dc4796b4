"""TLS contexts: which authorities are trusted, loaded once for each choice.

Every authority named by the operator is added to the system's and certifi's; none
replaces them. Parsing a bundle takes some 15 ms of CPU, so a context is built at its
first use and shared by all connections.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import certifi

from app.canonical.record import record

_FILES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_FOLDERS: Final = "SSL_CERT_DIR"
_HASHED: Final = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # how OpenSSL looks certificates up in a folder
_CERTIFICATE: Final = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")
_KEY: Final = re.compile(rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----")
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: 4,ENCRYPTED")
_PEM: Final = frozenset({".pem", ".crt", ".cer"})


@record
class Trust:
    """A choice of authorities (files and folders besides the default ones) and of our own certificate.

    ``client_cert`` is one PEM file, or the pair (certificate, key).
    """

    paths: tuple[str, ...] = ()
    client_cert: str | tuple[str, str] | None = None

    def context(self) -> ssl.SSLContext:
        """Build the context of this choice."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        for path in (certifi.where(), *_system_paths(), *self.paths):
            _load(context, Path(path))
        if self.client_cert:
            pair = self.client_cert
            certificate, key = (pair, None) if isinstance(pair, str) else pair
            context.load_cert_chain(certificate, key, password=_passphrase)
        return context


def _passphrase() -> str:
    """Replace OpenSSL's question on the terminal for a key's passphrase."""
    raise ValueError("the client certificate's key is encrypted; give one without a passphrase")


def paths_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the files and folders that the environment names, in either case of its variables."""
    paths: list[str] = []
    for name in (*_FILES, _FOLDERS):
        value = environ.get(name) or environ.get(name.lower()) or ""
        try:
            existing_paths = existing(value.split(os.pathsep) if name == _FOLDERS else [value])
            for path in existing_paths:
                check_bundle(path)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        paths += existing_paths
    return tuple(dict.fromkeys(paths))


def existing(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths without empty ones and repeats; ``ValueError`` for one that is none."""
    names = dict.fromkeys(os.path.expanduser(path) for path in paths if path)
    for path in names:
        if not os.path.exists(path):
            raise ValueError(f"the CA bundle {path} does not exist")
        if not os.path.isfile(path) and not os.path.isdir(path):  # opening a pipe may wait for ever
            raise ValueError(f"the CA bundle {path} is neither a file nor a folder")
    return tuple(names)


def check_bundle(path: str) -> None:
    """Raise ``ValueError`` for a file without a PEM certificate; a folder may have any content."""
    if os.path.isfile(os.path.expanduser(path)) and not _CERTIFICATE.search(_bytes_of(path)):
        raise ValueError(f"the CA bundle {path} holds no PEM certificate (-----BEGIN CERTIFICATE-----)")


def check_client_cert(certificate: str, key_file: str | None = None) -> None:
    """Raise ``ValueError`` for files that are not a PEM certificate and key, or whose key is
    encrypted."""
    certificate_bytes, key = _bytes_of(certificate), _bytes_of(key_file or certificate)
    if not _CERTIFICATE.search(certificate_bytes):
        raise ValueError("names a file without a PEM certificate (-----BEGIN CERTIFICATE-----)")
    if not _KEY.search(key):
        raise ValueError("names no PEM file with the private key (-----BEGIN PRIVATE KEY-----)")
    if _ENCRYPTED.search(key):
        raise ValueError("has an encrypted key; give one without a passphrase, in a file of mode 0600")


def _bytes_of(path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise ValueError(f"names a file that cannot be read: {error.strerror}") from error


def _system_paths() -> list[str]:
    """Return OpenSSL's built-in places; its own loader would let SSL_CERT_FILE replace them."""
    default = ssl.get_default_verify_paths()
    return [path for path in (default.openssl_cafile, default.openssl_capath) if os.path.exists(path)]


def _load(context: ssl.SSLContext, path: Path) -> None:
    if path.is_file():
        context.load_verify_locations(cafile=path)
        return
    names = [entry.name for entry in os.scandir(path)]
    if any(_HASHED.fullmatch(name) for name in names):
        context.load_verify_locations(capath=path)
        return
    for name in names:
        if Path(name).suffix in _PEM:
            context.load_verify_locations(cafile=path / name)
