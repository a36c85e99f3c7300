"""Sign-in by OpenID Connect: authorization code flow with PKCE, one issuer; Authlib checks what it says.

Nothing is kept between going out and coming back but a random token in the browser's own cookie: state,
nonce and code verifier are derived from it, so whoever comes back without that cookie has none of them.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import httpx
import msgspec

from shared.clock import Clock
from shared.errors import TransientError, Unauthorized

SCOPE = "openid email profile"
SECONDS_MAX = 10.0
LEEWAY_SECONDS = 60
METADATA_US = 3_600_000_000
BODY_BYTES_MAX = 1 << 20
TOKEN_CHARS_MIN = 43
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that the provider alone has; `none` and shared secrets are not among them."""


class OidcSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Who vouches for people, as what it knows us, and where it sends them back to."""

    issuer: str
    client_id: str
    client_secret: str
    redirect_url: str


class ProviderUnavailable(TransientError):
    """The provider does not answer, or not as OpenID Connect has it."""

    code = "sign_in_unavailable"


class NotVouchedFor(Unauthorized):
    """What came back does not prove who it is."""

    code = "not_vouched_for"


class Provider:
    """The provider of sign-ins; its metadata and keys are asked for once an hour."""

    def __init__(
        self,
        settings: OidcSettings,
        clock: Clock,
        open_client: Callable[[], httpx.AsyncClient] = lambda: httpx.AsyncClient(timeout=SECONDS_MAX),
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._open_client = open_client
        self._metadata: dict[str, Any] = {}
        self._keys: Any = {}
        self._read_us = 0

    async def address(self, token: str) -> str:
        """Where to send the browser; `token` is in its cookie. Raises ProviderUnavailable."""
        from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        await self._refresh()
        url: str = prepare_grant_uri(
            self._metadata["authorization_endpoint"],
            self._settings.client_id,
            "code",
            redirect_uri=self._settings.redirect_url,
            scope=SCOPE,
            state=derived(token, "state"),
            nonce=derived(token, "nonce"),
            code_challenge=create_s256_code_challenge(derived(token, "verifier")),
            code_challenge_method="S256",
        )
        return url

    async def email(self, token: str, *, code: str, state: str) -> str:
        """The verified e-mail address of whoever came back. Raises NotVouchedFor or ProviderUnavailable."""
        # Without a token of ours everything derived from it would be known to everybody.
        is_ours = len(token) >= TOKEN_CHARS_MIN and hmac.compare_digest(
            state.encode("utf-8", "surrogatepass"), derived(token, "state").encode()
        )
        if not code or not is_ours:
            raise NotVouchedFor("this sign-in was not begun in this browser; begin it again")
        await self._refresh()
        answer = await self._exchanged(code, derived(token, "verifier"))
        claims = await self._claims(answer, derived(token, "nonce"))
        email = claims.get("email")
        if not isinstance(email, str) or claims.get("email_verified") in (False, "false"):
            raise NotVouchedFor("the sign-in provider knows no verified e-mail address of yours")
        return email

    async def _exchanged(self, code: str, verifier: str) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._settings.redirect_url,
            "code_verifier": verifier,
        }
        me, secret = self._settings.client_id, self._settings.client_secret
        methods = self._metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        is_basic = "client_secret_basic" in methods
        if not is_basic:
            form |= {"client_id": me, "client_secret": secret}
        async with self._open_client() as client:
            try:
                answer = await client.post(
                    self._metadata["token_endpoint"],
                    data=form,
                    auth=httpx.BasicAuth(me, secret) if is_basic else httpx.USE_CLIENT_DEFAULT,
                )
            except httpx.HTTPError as error:
                raise _unavailable(error) from error
        if 400 <= answer.status_code < 500:
            raise NotVouchedFor("the sign-in provider does not take this sign-in any more; begin it again")
        return _object(answer)

    async def _claims(self, answer: dict[str, Any], nonce: str) -> dict[str, Any]:
        """The claims of the id token, once its signature and all that it says of itself are right."""
        from authlib.oidc.core import CodeIDToken
        from joserfc.errors import InvalidKeyIdError, JoseError

        id_token = answer.get("id_token", "")
        try:
            try:
                token = self._decoded(id_token)
            except InvalidKeyIdError:
                await self._refresh(anew=True)  # The provider has changed its keys since.
                token = self._decoded(id_token)
            claims = CodeIDToken(
                token.claims,
                token.header,
                {
                    "iss": {"essential": True, "value": self._settings.issuer},
                    "aud": {"essential": True, "value": self._settings.client_id},
                },
                {
                    "nonce": nonce,
                    "client_id": self._settings.client_id,
                    "access_token": answer.get("access_token"),
                },
            )
            claims.validate(now=self._clock.now_us() // 1_000_000, leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError) as error:
            raise NotVouchedFor("what the sign-in provider sent does not prove who you are") from error
        return dict(claims)

    def _decoded(self, id_token: str) -> Any:
        from joserfc import jwt
        from joserfc.jwk import KeySet

        return jwt.decode(id_token, KeySet.import_key_set(self._keys), algorithms=list(ALGORITHMS))

    async def _refresh(self, *, anew: bool = False) -> None:
        now_us = self._clock.now_us()
        if self._metadata and not anew and 0 <= now_us - self._read_us < METADATA_US:
            return
        from authlib.oidc.discovery import get_well_known_url

        async with self._open_client() as client:
            metadata = await _read(client, get_well_known_url(self._settings.issuer, external=True))
            if metadata.get("issuer") != self._settings.issuer:
                raise ProviderUnavailable("the sign-in provider calls itself otherwise than OIDC_ISSUER")
            missing = {"authorization_endpoint", "token_endpoint", "jwks_uri"} - metadata.keys()
            if missing:
                raise ProviderUnavailable(f"the sign-in provider names no {min(missing)}")
            keys = await _read(client, metadata["jwks_uri"])
        self._metadata, self._keys, self._read_us = metadata, keys, now_us


def derived(token: str, purpose: str) -> str:
    """43 characters that nobody can know who has not the token."""
    digest = hmac.digest(token.encode("utf-8", "surrogatepass"), purpose.encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def _read(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    try:
        return _object(await client.get(url))
    except httpx.HTTPError as error:
        raise _unavailable(error) from error


def _object(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer."""
    if answer.status_code != 200 or len(answer.content) > BODY_BYTES_MAX:
        raise ProviderUnavailable(f"the sign-in provider answers {answer.status_code}; try again later")
    try:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise ProviderUnavailable("the sign-in provider answers something that is not JSON") from error


def _unavailable(error: httpx.HTTPError) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"the sign-in provider does not answer ({type(error).__name__}); try again in a moment"
    )
