"""Authentication at AWS: a bearer key, or a signature (SigV4) over exactly the bytes sent.

botocore signs, and knows the chain of credentials: variables, profile, web identity, container and
machine roles. It is imported at first use. The chain may read files, run programs and call AWS, so one
greenlet runs it for all, in a native thread.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

import gevent

from app.config import ProviderKey, ProviderSettings, Secret
from app.errors import GatewayError
from app.providers import tokens
from app.providers.base import Outgoing, not_configured

SERVICE: Final = "bedrock"
DEFAULT_REGION: Final = "us-east-1"
MISSING: Final = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE, or AWS_BEARER_TOKEN_BEDROCK)."
)
_RENEW: Final = 900  # seconds before their end that temporary credentials are renewed, as in botocore


class AwsSession:
    """The credentials and the region of one provider's settings."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._name = settings.name
        self._options = settings.options
        self._lock = threading.Lock()
        self._session: Any = None
        self._source: Any = None
        self._credentials: Any = None
        self._region: str | None = settings.options.get("region")

    def region(self) -> str:
        """Return the region: the setting, else the profile's, else ``us-east-1``."""
        if self._region is None:
            with self._lock:
                if self._region is None:
                    self._region = _in_thread(self._profile_region) or DEFAULT_REGION
        return self._region

    def credentials(self) -> Any:
        """Return botocore's frozen credentials, renewed where they end soon."""
        if self._is_stale():
            with self._lock:
                if self._is_stale():
                    self._credentials = _in_thread(self._resolve)
        return self._credentials

    def _is_stale(self) -> bool:
        if self._credentials is None:
            return True
        renewal = getattr(self._source, "refresh_needed", None)
        return renewal is not None and bool(renewal(refresh_in=_RENEW))

    def _profile_region(self) -> str | None:
        try:
            session = self._open_session()
        except GatewayError:  # without the library there is no profile either
            return None
        try:
            region: str | None = session.get_config_variable("region")
        except _import("botocore.exceptions").BotoCoreError as error:  # no such profile, a file that is none
            advice = "Check its profile, AWS_PROFILE and AWS's configuration file."
            raise not_configured(self._name, f"{error}. {advice}") from error
        return region

    def _resolve(self) -> Any:
        try:
            if self._source is None:
                self._source = self._static_keys() or self._open_session().get_credentials()
            credentials = None if self._source is None else self._source.get_frozen_credentials()
        except GatewayError:
            raise
        except Exception as error:  # botocore's chain raises whatever its links do
            raise tokens.refusal("AWS", f"{type(error).__name__}: {error}") from error
        if credentials is None:
            raise not_configured(self._name, MISSING)
        return credentials

    def _static_keys(self) -> Any:
        """Return the keys that the settings hold, or None."""
        access, secret = self._options.get("access_key_id"), self._options.get("secret_access_key")
        if not access or secret is None:
            return None
        token: Secret | None = self._options.get("session_token")
        botocore_credentials = _import("botocore.credentials")
        return botocore_credentials.Credentials(access, secret.reveal(), token.reveal() if token else None)

    def _open_session(self) -> Any:
        if self._session is None:
            self._session = _import("botocore.session").Session(profile=self._options.get("profile"))
        return self._session


class AwsAuth:
    """A bearer key where one is given, else the signature of the session's credentials."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session

    def headers(
        self, key: ProviderKey | None, settings: ProviderSettings, outgoing: Outgoing
    ) -> Mapping[str, str]:
        """Return the headers that sign ``outgoing``: its host, content type, ``x-amz-`` headers and body."""
        if key is not None:
            return {"authorization": f"Bearer {key.secret.reveal()}"}
        if outgoing.body is not None and not isinstance(outgoing.body, bytes):
            raise GatewayError("internal", "A body in pieces cannot be signed.")
        return sign(outgoing, self._session.credentials(), self._session.region())


def sign(outgoing: Outgoing, credentials: Any, region: str) -> dict[str, str]:
    """Return the headers of SigV4 for ``outgoing``.

    The path is signed as it is sent, percent-encoded; like every service but S3, Bedrock
    encodes it once more in the canonical request, which botocore does too.
    """
    to_sign = {
        name.lower(): value for name, value in outgoing.headers.items() if name.lower().startswith(_SIGNED)
    }
    request = _import("botocore.awsrequest").AWSRequest(
        method=outgoing.method, url=outgoing.url, data=outgoing.body or b"", headers=to_sign
    )
    _import("botocore.auth").SigV4Auth(credentials, SERVICE, region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items() if name.lower() not in to_sign}


_SIGNED: Final = ("content-type", "x-amz-", "x-amzn-bedrock-")


def _import(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise tokens.missing_library("aws") from error


def _in_thread(work: Any) -> Any:
    """Run ``work`` in a native thread, so that it never holds the hub; its error is raised here, not printed there."""
    value, error = gevent.get_hub().threadpool.apply(_outcome, (work,))
    if error is not None:
        raise error
    return value


def _outcome(work: Any) -> tuple[Any, GatewayError | None]:
    try:
        return work(), None
    except GatewayError as error:
        return None, error
