"""A small OpenID Connect provider: signs people in as told, and checks what its client has to prove."""

import base64
import hashlib
from typing import Any

import httpx
from fastapi import FastAPI, Form, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

from shared.clock import Clock

ISSUER = "https://id.example"
CLIENT_ID, CLIENT_SECRET = "inbox", "a secret of the two"


class FakeProvider:
    """`claims` overrules what the id token says; `email` is who sits at the browser."""

    def __init__(self, clock: Clock) -> None:
        self.email = "hana@example.com"
        self.claims: dict[str, Any] = {}
        self.algorithm = "RS256"
        self.asked: list[str] = []
        self._clock = clock
        self._key = _new_key("one")
        self._signs_with: Any = self._key
        self._codes: dict[str, dict[str, str]] = {}
        self.app = self._routes()

    def client(self) -> httpx.AsyncClient:
        """How a server reaches it."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url=ISSUER)

    def change_keys(self) -> None:
        """From now on it signs with another key, and shows that one alone."""
        self._key = self._signs_with = _new_key("two")

    def sign_with_a_strangers_key(self) -> None:
        self._signs_with = _new_key(self._key.kid or "")

    def _routes(self) -> FastAPI:
        app = FastAPI()
        app.get("/.well-known/openid-configuration")(self._metadata)
        app.get("/jwks")(self._jwks)
        app.get("/authorize")(self._authorize)
        app.post("/token")(self._token)
        return app

    async def _metadata(self) -> dict[str, Any]:
        self.asked.append("metadata")
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
        }

    async def _jwks(self) -> Any:
        return KeySet([self._key]).as_dict(private=False)

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        assert asked["client_id"] == CLIENT_ID
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = f"code-{len(self._codes)}"
        self._codes[code] = asked
        return RedirectResponse(f"{asked['redirect_uri']}?code={code}&state={asked['state']}")

    async def _token(
        self, request: Request, code: str = Form(), code_verifier: str = Form(), redirect_uri: str = Form()
    ) -> Response:
        whoami = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        asked = self._codes.pop(code, None)
        digest = hashlib.sha256(code_verifier.encode()).digest()
        is_right = (
            request.headers.get("authorization") == f"Basic {whoami}"
            and asked is not None
            and asked["redirect_uri"] == redirect_uri
            and asked["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
        )
        if not is_right or asked is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse(
            {"access_token": "opaque", "token_type": "Bearer", "id_token": self._id_token(asked["nonce"])}
        )

    def _id_token(self, nonce: str) -> str:
        now = self._clock.now_us() // 1_000_000
        claims = {
            "iss": ISSUER,
            "aud": CLIENT_ID,
            "sub": "4711",
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "email": self.email,
            "email_verified": True,
            **self.claims,
        }
        told = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": self.algorithm, "kid": self._key.kid}
        return jwt.encode(header, told, self._signs_with, algorithms=[self.algorithm])


def _new_key(kid: str) -> Any:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"}, private=True)
