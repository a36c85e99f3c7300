"""Who may look, who may act, and what becomes of a session."""

import re
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from services.notifier.web.entrance import Door, check_door
from services.notifier.web.throttle import NAME_MAX, PAIR_MAX
from shared.errors import Conflict, InvalidInput, NotFound, SetupError
from tests.integration.notifier.door import PASSWORD, URL, House, house
from tests.unit.notifier.cases import stop

TASK = f"/tasks/{stop().id}"
FIELDS = {"outcome": "reached", "until": "1h", "owner": "csm-1", "outage": "x", "letter": "x"}
HOURS_12 = 12 * 3600


async def test_without_a_session_every_page_leads_to_the_sign_in_and_back(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await there.here.read(stop())
        await there.users.add("lead@example.com", role="lead", password=PASSWORD)
        page = await client.get(f"{TASK}?who=all")
        assert page.url.path == "/sign-in"
        assert "割烹" not in page.text
        (go_on,) = re.findall(r'name="next" value="([^"]*)"', page.text)
        form = {"name": "Lead@Example.com ", "password": PASSWORD, "next": go_on}
        page = await client.post("/sign-in", data=form)
        assert (page.url.path, page.url.query) == (TASK, b"who=all")
        assert "割烹 さくら" in page.text


def is_page(route: APIRoute) -> bool:
    return not route.path.startswith(("/assets", "/sign-", "/settings"))


async def test_no_route_shows_or_changes_anything_for_a_stranger(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser(follow_redirects=False) as client:
        await there.here.read(stop(name="Secret Sushi"))
        routes = [route for route in there.routes if is_page(route)]
        assert len(routes) >= 15
        for route in routes:
            path = route.path.replace("{task_id}", stop().id)
            for method in route.methods:
                answer = await client.request(method, path, data=FIELDS if method == "POST" else None)
                assert answer.status_code in (303, 401), (method, path)
                assert "Secret Sushi" not in answer.text
        assert [task.state for task in await there.here.tasks()] == ["open"]


async def test_no_form_is_taken_from_another_site(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await there.here.read(stop())
        await there.users.add("root", role="admin", password=PASSWORD)
        await there.sign_in(client, "root")
        posts = [route for route in there.routes if "POST" in route.methods]
        assert len(posts) >= 8
        for route in posts:
            path = route.path.replace("{task_id}", stop().id)
            answer = await client.post(path, headers={"origin": "https://evil.example"})
            assert answer.status_code == 403, path
        assert (await there.here.task()).state == "open"


async def test_the_cookie_is_for_this_host_over_https_and_not_for_scripts(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser(follow_redirects=False) as client:
        await there.users.add("root", role="admin", password=PASSWORD)
        answer = await there.sign_in(client, "root")
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-session=")
        for part in ("HttpOnly", "SameSite=lax", "Secure", "Path=/", f"Max-Age={HOURS_12}"):
            assert part in cookie


@pytest.mark.parametrize(
    ("name", "password"), [("root", "wrong password"), ("nobody", PASSWORD), ("root", ""), ("sso", PASSWORD)]
)
async def test_a_wrong_name_and_a_wrong_password_are_refused_alike(
    tmp_path: Path, name: str, password: str
) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await there.users.add("root", role="admin", password=PASSWORD)
        await there.users.add("sso", role="admin")
        page = await there.sign_in(client, name, password)
        assert page.status_code == 401
        assert "Name or password is wrong." in page.text
        assert not client.cookies


async def test_guessing_is_stopped_and_the_bound_ends_with_its_window(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await there.users.add("root", role="admin", password=PASSWORD)
        for _ in range(PAIR_MAX):
            assert (await there.sign_in(client, "root", "wrong password")).status_code == 401
        refused = await there.sign_in(client, "root")  # right at last, and too late
        assert refused.status_code == 429
        assert 0 < int(refused.headers["retry-after"]) <= 15 * 60
        async with there.browser(address="198.51.100.9") as elsewhere:
            assert (await there.sign_in(elsewhere, "root")).status_code == 200  # the owner is not locked out
        await there.here.after(minutes=16)
        assert (await there.sign_in(client, "root")).status_code == 200


async def test_guessing_from_many_addresses_is_stopped_too(tmp_path: Path) -> None:
    async with house(tmp_path) as there:
        await there.users.add("root", role="admin", password=PASSWORD)
        statuses = []
        for n in range(NAME_MAX + 1):
            async with there.browser(address=f"198.51.100.{n}") as client:
                statuses.append((await there.sign_in(client, "root", "wrong password")).status_code)
        assert statuses == [401] * NAME_MAX + [429]


async def test_a_colleague_who_signs_in_often_is_not_taken_for_a_guesser(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await there.users.add("root", role="admin", password=PASSWORD)
        for _ in range(3 * PAIR_MAX):
            assert (await there.sign_in(client, "root")).status_code == 200


# What becomes of a session


async def signed_in(there: House, client: object, name: str = "root", role: str = "admin") -> None:
    await there.users.add(name, role=role, csm="csm-1" if role == "csm" else None, password=PASSWORD)
    await there.sign_in(client, name)  # type: ignore[arg-type]


async def test_signing_out_ends_the_session_wherever_its_cookie_went(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client, there.browser() as thief:
        await signed_in(there, client)
        thief.cookies.update(client.cookies)
        assert (await thief.get("/")).url.path == "/"
        await client.post("/sign-out")
        assert (await client.get("/")).url.path == "/sign-in"
        assert (await thief.get("/")).url.path == "/sign-in"


async def test_who_is_removed_is_out_at_once_and_so_is_who_gets_a_new_password(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client, there.browser() as other:
        await signed_in(there, client, "one")
        await signed_in(there, other, "two")
        await there.users.remove("one")
        assert (await client.get("/")).url.path == "/sign-in"
        assert (await other.get("/")).url.path == "/"
        await there.users.set_password("two", "another long password")
        assert (await other.get("/")).url.path == "/sign-in"


async def test_a_session_ends_after_its_hours(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await signed_in(there, client)
        await there.here.after(hours=11, minutes=59)
        assert (await client.get("/")).url.path == "/"
        await there.here.after(minutes=1)
        assert (await client.get("/")).url.path == "/sign-in"


async def test_what_was_typed_outlives_the_session(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await there.here.read(stop())
        await signed_in(there, client)
        await there.here.after(hours=13)
        asked = await client.post(f"{TASK}/done", data={"outcome": "churn_risk", "note": "too <dear>"})
        assert asked.status_code == 401
        assert (await there.here.task()).state != "done"
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', asked.text))
        assert hidden["carried.note"] == "too &lt;dear&gt;"
        hidden["carried.note"] = "too <dear>"
        again = await client.post("/sign-in", data={**hidden, "name": "root", "password": PASSWORD})
        assert f'action="{TASK}/done"' in again.text
        assert "too &lt;dear&gt;</textarea>" in again.text
        assert (await there.here.task()).state != "done"  # sent by a press, never by itself
        await client.post(f"{TASK}/done", data={"outcome": "churn_risk", "note": "too <dear>"})
        assert (await there.here.task()).note == "too <dear>"


async def test_a_part_asked_for_without_a_session_sends_the_page_to_the_sign_in(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        headers = {"hx-request": "true", "hx-target": "list", "hx-current-url": f"{URL}{TASK}?who=mine"}
        answer = await client.get("/", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["hx-redirect"] == f"/sign-in?next=%2Ftasks%2F{stop().id}%3Fwho%3Dmine"


@pytest.mark.parametrize(
    "next_",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1", "http://[evil", "//[evil"],
)
async def test_the_sign_in_leads_nowhere_else(tmp_path: Path, next_: str) -> None:
    async with house(tmp_path) as there, there.browser(follow_redirects=False) as client:
        await there.users.add("root", role="admin", password=PASSWORD)
        page = await client.get("/sign-in", params={"next": next_})
        assert 'name="next" value="/"' in page.text
        answer = await client.post("/sign-in", data={"name": "root", "password": PASSWORD, "next": next_})
        assert answer.headers["location"] == "/"


# Roles


async def test_a_csm_sees_all_and_acts_on_own_and_on_nobodys(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        own, nobodys, others = stop("c-1", csm="csm-1"), stop("c-2"), stop("c-3", csm="csm-2", name="Three")
        await there.here.read(own, nobodys, others)
        await signed_in(there, client, "sato", "csm")
        for trigger in (own, nobodys):
            page = await client.post(f"/tasks/{trigger.id}/acknowledge")
            assert page.status_code == 200
        page = await client.post(f"/tasks/{others.id}/done", data={"outcome": "reached"})
        assert page.status_code == 403
        assert "この架電は別の担当者のものです" in page.text  # csm-1 reads Japanese
        assert "Three" in page.text
        states = {task.customer_id: (task.state, task.acknowledged_by) for task in await there.here.tasks()}
        assert states["c-1"] == states["c-2"] == ("acknowledged", "csm-1")
        assert states["c-3"] == ("open", None)
        page = await client.get(f"/tasks/{others.id}")
        assert 'name="outcome"' not in page.text


async def test_a_lead_acts_on_everybodys(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await there.here.read(stop(csm="csm-2"))
        await signed_in(there, client, "ito", "lead")
        assert (await client.post(f"{TASK}/assign", data={"owner": "csm-1"})).status_code == 200
        assert (await there.here.task()).owner == "csm-1"


async def test_held_calls_are_not_released_by_a_csm(tmp_path: Path) -> None:
    async with house(tmp_path) as there, there.browser() as client:
        await signed_in(there, client, "sato", "csm")
        assert (await client.post("/outages/release", data={"outage": "x"})).status_code == 403


# The door itself


async def test_on_this_machine_alone_nobody_is_asked_until_there_is_somebody_to_be(tmp_path: Path) -> None:
    async with house(tmp_path, is_local=True, url="http://localhost:8000") as there:
        local = {"url": "http://localhost:8000", "address": "127.0.0.1"}
        async with there.browser(**local) as client:
            assert (await client.get("/")).url.path == "/"
            await there.users.add("root", role="admin", password=PASSWORD)
            assert (await client.get("/")).url.path == "/sign-in"


async def test_from_another_machine_the_unlocked_door_is_shut(tmp_path: Path) -> None:
    url = "http://localhost:8000"
    async with house(tmp_path, is_local=True, url=url) as there, there.browser(url=url) as client:
        assert (await client.get("/")).status_code == 403


async def test_open_to_others_it_does_not_start_until_somebody_is_asked(tmp_path: Path) -> None:
    async with house(tmp_path) as there:
        database = there.here.database
        await check_door(Door(is_local=True), database)
        with pytest.raises(SetupError, match=r"`usage-triggers users add NAME --role admin`"):
            await check_door(Door(is_local=False), database)
        await there.users.add("root", role="admin", password=PASSWORD)
        await check_door(Door(is_local=False), database)


async def test_users_that_cannot_be_are_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as there:
        await there.users.add("root", role="admin", password=PASSWORD)
        with pytest.raises(Conflict, match="there is a user 'root' already"):
            await there.users.add(" ROOT", role="csm", password=PASSWORD)
        with pytest.raises(InvalidInput, match="10 to 1,000 characters"):
            await there.users.add("two", role="csm", password="short")
        with pytest.raises(InvalidInput, match="roles are csm, lead, admin"):
            await there.users.add("two", role="boss", password=PASSWORD)
        with pytest.raises(InvalidInput, match="1 to 200 characters"):
            await there.users.add("two words", role="csm", password=PASSWORD)
        with pytest.raises(NotFound, match="no user 'two'"):
            await there.users.remove("two")
        with pytest.raises(NotFound, match="no user 'two'"):
            await there.users.set_password("two", PASSWORD)
        assert [user.name for user in await there.users.list()] == ["root"]
