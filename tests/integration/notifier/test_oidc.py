"""Sign-in by OpenID Connect, against a provider that answers as told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.notifier.web.entrance import door_of
from services.notifier.web.oidc import OidcSettings, Provider
from services.notifier.web.users import configured
from shared.clock import ManualClock
from shared.errors import SetupError
from shared.settings import Settings
from tests.fakes.oidc import CLIENT_ID, CLIENT_SECRET, ISSUER, FakeProvider
from tests.integration.notifier.door import PASSWORD, URL, House, house
from tests.integration.notifier.world import START
from tests.unit.notifier.cases import config, stop

SETTINGS = OidcSettings(
    issuer=ISSUER, client_id=CLIENT_ID, client_secret=CLIENT_SECRET, redirect_url=f"{URL}/sign-in/back"
)


@asynccontextmanager
async def doors(path: Path) -> AsyncIterator[tuple[House, FakeProvider, httpx.AsyncClient]]:
    clock = ManualClock(START)
    fake = FakeProvider(clock)
    provider = Provider(SETTINGS, clock, fake.client)
    emails = {"csm-1": "Sato@example.com", "csm-2": "ito@example.com"}
    async with (
        house(path, provider=provider, emails=emails) as there,
        there.browser(follow_redirects=False) as client,
    ):
        yield there, fake, client


async def out(fake: FakeProvider, client: httpx.AsyncClient, next_: str = "/") -> str:
    """Goes out to the provider; the address that it sends the browser back to."""
    answer = await client.get("/sign-in/out", params={"next": next_})
    assert answer.status_code == 303
    async with fake.client() as there:
        back = await there.get(answer.headers["location"])
    return back.headers["location"].removeprefix(URL)


async def test_whoever_the_provider_vouches_for_and_an_admin_has_added_comes_in(tmp_path: Path) -> None:
    async with doors(tmp_path) as (there, fake, client):
        await there.users.add("Hana@Example.com", role="admin")
        answer = await client.get(await out(fake, client, "/team?days=7"))
        assert (answer.status_code, answer.headers["location"]) == (303, "/team?days=7")
        assert (await client.get("/")).status_code == 200


@pytest.mark.parametrize(
    ("email", "csm", "release"), [("sato@EXAMPLE.com", "csm-1", 403), ("ito@example.com", "csm-2", 404)]
)
async def test_a_csm_of_the_configuration_needs_not_be_added_and_is_a_lead_where_it_says_so(
    tmp_path: Path, email: str, csm: str, release: int
) -> None:
    async with doors(tmp_path) as (there, fake, client):
        await there.here.read(stop())
        fake.email = email
        assert (await client.get(await out(fake, client))).status_code == 303
        await client.post(f"/tasks/{stop().id}/acknowledge")
        assert (await there.here.task()).acknowledged_by == csm
        # A CSM may not; a lead may, but there is no such outage.
        assert (await client.post("/outages/release", data={"outage": "x"})).status_code == release


def test_a_csm_without_an_address_is_not_whoever_has_none() -> None:
    csms = config().csms
    assert None in [csm.email for csm in csms.values()]
    assert configured("", csms) is None


async def test_a_stranger_whom_the_provider_knows_stays_outside(tmp_path: Path) -> None:
    async with doors(tmp_path) as (_, fake, client):
        answer = await client.get(await out(fake, client))
        assert answer.status_code == 401
        assert "You may not see this inbox yet." in answer.text
        assert "__Host-session" not in client.cookies


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another client"},
        {"nonce": "another nonce"},
        {"nonce": None},
        {"exp": 1},
        {"exp": None},
        {"iat": 32_503_680_000},
        {"email_verified": False},
        {"email_verified": "false"},
        {"email": None},
        {"email": ["hana@example.com"]},
        {"at_hash": "another token's"},
        {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
    ],
)
async def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    tmp_path: Path, claims: dict[str, Any]
) -> None:
    async with doors(tmp_path) as (there, fake, client):
        await there.users.add("hana@example.com", role="admin")
        fake.claims = claims
        answer = await client.get(await out(fake, client))
        assert answer.status_code == 401
        assert (await client.get("/")).status_code == 303


async def test_a_signature_by_another_key_is_refused(tmp_path: Path) -> None:
    async with doors(tmp_path) as (there, fake, client):
        await there.users.add("hana@example.com", role="admin")
        fake.sign_with_a_strangers_key()
        assert (await client.get(await out(fake, client))).status_code == 401


async def test_new_keys_of_the_provider_are_learned_while_it_is_used(tmp_path: Path) -> None:
    async with doors(tmp_path) as (there, fake, client):
        await there.users.add("hana@example.com", role="admin")
        assert (await client.get(await out(fake, client))).status_code == 303
        fake.change_keys()
        assert (await client.get(await out(fake, client))).status_code == 303
        assert fake.asked == ["metadata", "metadata"]


async def test_a_sign_in_begun_in_another_browser_is_refused(tmp_path: Path) -> None:
    async with doors(tmp_path) as (there, fake, client), there.browser(follow_redirects=False) as victim:
        await there.users.add("hana@example.com", role="admin")
        back = await out(fake, client)
        assert (await victim.get(back)).status_code == 401  # nothing was begun there
        await victim.get("/sign-in/out")
        assert (await victim.get(back)).status_code == 401  # something else was
        assert (await client.get(back)).status_code == 303


async def test_without_its_cookie_a_sign_in_proves_nothing_even_if_it_was_made_for_that(
    tmp_path: Path,
) -> None:
    from authlib.oauth2.rfc7636 import create_s256_code_challenge

    from services.notifier.web.oidc import derived

    async with doors(tmp_path) as (there, fake, client):
        await there.users.add("hana@example.com", role="admin")
        forged = {
            "client_id": CLIENT_ID,
            "response_type": "code",
            "redirect_uri": SETTINGS.redirect_url,
            "state": derived("", "state"),
            "nonce": derived("", "nonce"),
            "code_challenge": create_s256_code_challenge(derived("", "verifier")),
            "code_challenge_method": "S256",
        }
        async with fake.client() as at_provider:
            back = (await at_provider.get("/authorize", params=forged)).headers["location"]
        assert (await client.get(back.removeprefix(URL))).status_code == 401


async def test_a_code_is_good_once(tmp_path: Path) -> None:
    async with doors(tmp_path) as (there, fake, client):
        await there.users.add("hana@example.com", role="admin")
        back = await out(fake, client)
        going = client.cookies["signing-in"]
        assert (await client.get(back)).status_code == 303
        client.cookies.set("signing-in", going, path="/sign-in")
        assert (await client.get(back)).status_code == 401


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json={"issuer": "https://evil.example"}),
        httpx.Response(200, json={"issuer": ISSUER}),
        httpx.ConnectError("refused"),
    ],
)
async def test_a_provider_that_is_away_or_none_is_told_in_a_line(
    tmp_path: Path, answer: httpx.Response | httpx.HTTPError
) -> None:
    async def away(_request: httpx.Request) -> httpx.Response:
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return answer

    provider = Provider(
        SETTINGS, ManualClock(START), lambda: httpx.AsyncClient(transport=httpx.MockTransport(away))
    )
    async with house(tmp_path, provider=provider) as there, there.browser() as client:
        page = await client.get("/sign-in/out")
        assert page.status_code == 503
        assert "The sign-in provider does not answer. Try again in a moment." in page.text


async def test_the_provider_leads_back_to_our_own_pages_alone(tmp_path: Path) -> None:
    async with doors(tmp_path) as (there, fake, client):
        await there.users.add("hana@example.com", role="admin")
        answer = await client.get(await out(fake, client, "https://evil.example/"))
        assert answer.headers["location"] == "/"


async def test_passwords_are_asked_for_only_where_somebody_has_one(tmp_path: Path) -> None:
    async with doors(tmp_path) as (there, _, client):
        assert 'name="password"' not in (await client.get("/sign-in")).text
        await there.users.add("root", role="admin", password=PASSWORD)
        assert 'name="password"' in (await client.get("/sign-in")).text


# Settings


def settings(**more: str) -> Settings:
    given = {
        "OIDC_ISSUER": ISSUER,
        "OIDC_CLIENT_ID": CLIENT_ID,
        "OIDC_CLIENT_SECRET": CLIENT_SECRET,
        "PUBLIC_URL": f"{URL}/",
        "HOST": "0.0.0.0",
    }
    return Settings.model_validate({name: value for name, value in {**given, **more}.items() if value})


def test_the_provider_sends_back_to_the_public_address() -> None:
    oidc = door_of(settings()).oidc
    assert oidc is not None
    assert oidc.redirect_url == f"{URL}/sign-in/back"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"OIDC_CLIENT_ID": ""}, "sign-in by OIDC needs OIDC_CLIENT_ID as well"),
        ({"PUBLIC_URL": "", "OIDC_CLIENT_SECRET": ""}, "needs OIDC_CLIENT_SECRET and PUBLIC_URL as well"),
        ({"OIDC_ISSUER": "http://id.example"}, "OIDC_ISSUER has to be an https:// address"),
    ],
)
def test_half_a_provider_is_refused_at_start(more: dict[str, str], said: str) -> None:
    with pytest.raises(SetupError, match=said):
        door_of(settings(**more))
