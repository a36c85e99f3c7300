"""The inbox in a real browser: live, by keyboard alone, in Japanese, on a phone, past its session's end."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.async_api import Browser, Page, async_playwright

from services.notifier.tasks.lifecycle import acknowledge, finish
from services.notifier.web.access import Access, LocalAccess
from services.notifier.web.entrance import Door, Entrance
from services.notifier.web.users import Users
from shared.http import install_errors
from tests.integration.notifier.door import CHEAP, PASSWORD
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import config, resumption, stop

CHROMIUM = shutil.which("chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None and os.environ.get("CI") != "true", reason="no chromium here"),
    # Playwright's own transport leaves this to the collector when a browser is closed.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@asynccontextmanager
async def serving(path: Path, *, asks: bool = False) -> AsyncIterator[tuple[World, str]]:
    """The notifier's pages on a free port of this machine; `asks`: the user `root` signs in."""
    async with world(path, config(playbooks=[{"on": "usage.stopped"}])) as here:
        access: Access = LocalAccess()
        if asks:
            users = Users(here.database, here.clock, CHEAP)
            await users.add("root", role="admin", password=PASSWORD)
            access = Entrance(
                Door(is_local=True), here.parts.config, here.database, here.clock, directory=users
            )
        site = here.notifier.pages(access)
        app = FastAPI()
        install_errors(app)
        app.include_router(site.router)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.wait({running}, timeout=0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield here, f"http://127.0.0.1:{port}"
        finally:
            site.pulse.hang_up()
            server.should_exit = True
            await running


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        await browser.close()


@asynccontextmanager
async def page(
    url: str, *, language: str = "en", width: int = 1280, expected: str = ""
) -> AsyncIterator[Page]:
    """A page in a browser of its own that may fault in nothing, but for lines with `expected` in them."""
    async with chromium() as browser:
        opened = await browser.new_page(locale=language, viewport={"width": width, "height": 900})
        faults: list[str] = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        await opened.goto(url)
        yield opened
        assert [fault for fault in faults if not expected or expected not in fault] == []


async def sign_in(at: Page) -> None:
    await at.fill("input[name=name]", "root")
    await at.fill("input[name=password]", PASSWORD)
    await at.keyboard.press("Enter")


async def test_a_stop_appears_without_reload_and_is_called_and_closed_by_keyboard_alone(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as (here, url), page(url) as at:
        assert await at.locator(".empty").is_visible()
        await at.evaluate("window.isTheSamePage = true")
        await here.read(stop("c-1", name="One", phone="03-1234-5678"))
        await at.wait_for_selector(".row:has-text('One')")
        await at.keyboard.press("j")
        await at.wait_for_selector("h1:has-text('One')")
        assert at.url == f"{url}/tasks/{stop('c-1').id}"
        assert await at.get_attribute("a.call", "href") == "tel:0312345678"
        await at.keyboard.press("1")
        await at.wait_for_selector(".closed-done")
        await at.wait_for_selector(".part-done summary:has-text('1')")
        assert await at.evaluate("window.isTheSamePage")
        assert (await here.task()).outcome == "reached"


async def test_what_somebody_else_does_is_seen_beside_the_list_and_in_it(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(stop(name="One"))
        async with page(f"{url}/tasks/{stop().id}") as at:
            await here.notifier.desk.change(
                stop().id, lambda task, now_us: acknowledge(task, "csm-2", now_us)
            )
            await at.wait_for_selector(".card .badge-taken:has-text('Ito')")
            await at.wait_for_selector(".list .badge-taken:has-text('Ito')")
            await here.read(resumption(stop()))
            await at.wait_for_selector(".closed-cancelled:has-text('Usage resumed')")
            await at.wait_for_selector(".part-done")


async def test_a_note_half_written_is_not_touched_by_what_others_do(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(stop(name="One"))
        async with page(url) as at:
            await at.keyboard.press("n")
            await at.keyboard.type("they are ")
            await here.notifier.desk.change(
                stop().id, lambda task, now_us: acknowledge(task, "csm-2", now_us)
            )
            await at.wait_for_selector(".list .badge-taken")
            await at.keyboard.type("moving")
            assert await at.input_value("textarea[name=note]") == "they are moving"
            await at.keyboard.press("Escape")  # the hands are off: now the card follows
            await at.wait_for_selector(".card .badge-taken")
            assert await at.input_value("textarea[name=note]") == "they are moving"


async def test_a_second_click_and_a_page_that_is_stale_change_nothing_twice(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(stop(name="One"))
        async with page(url) as at, page(url, expected="409") as stale:
            await stale.route("**/live*", lambda route: route.abort())
            await at.dblclick("button[value=reached]")
            await at.wait_for_selector(".closed-done")
            await stale.evaluate("document.querySelector('button[value=false_alarm]')?.click()")
            await stale.wait_for_selector(".closed-done")
        task = await here.task()
        assert (task.state, task.outcome) == ("done", "reached")
        changes = [row.change for row in await here.rows("task_history")]
        assert changes == ["opened", "done"]


async def test_past_the_sessions_end_one_signs_in_again_and_nothing_typed_is_lost(tmp_path: Path) -> None:
    async with serving(tmp_path, asks=True) as (here, url):
        await here.read(stop(name="One"))
        async with page(f"{url}/tasks/{stop().id}?who=all", expected="401") as at:
            await sign_in(at)
            await at.wait_for_selector("h1:has-text('One')")
            assert at.url.endswith(f"/tasks/{stop().id}?who=all")
            await at.keyboard.press("n")
            await at.keyboard.type("calls back on Friday")
            await here.after(hours=13)
            await at.keyboard.press("Escape")
            await at.wait_for_selector("input[name=password]")
            await sign_in(at)
            await at.wait_for_selector("h1:has-text('One')")
            assert await at.input_value("textarea[name=note]") == "calls back on Friday"
            await at.keyboard.press("2")
            await at.wait_for_selector(".closed-done")
        task = await here.task()
        assert (task.outcome, task.note) == ("no_answer", "calls back on Friday")


async def test_the_list_grows_by_the_page_and_keeps_its_place(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(*(stop(f"c-{n}", name=f"No {n}", surprise=0.99 - n / 1_000) for n in range(120)))
        async with page(url) as at:
            assert await at.locator(".row").count() == 50
            await at.click(".more")
            await at.wait_for_selector(".row:has-text('No 119')")
            await at.click(".row:has-text('No 110')")
            await at.wait_for_selector("h1:has-text('No 110')")
            before = await at.evaluate("document.querySelector('.list').scrollTop")
            await at.keyboard.press("1")
            await at.wait_for_selector(".closed-done")
            await at.wait_for_selector(".part-done")
            assert before > 0
            assert await at.evaluate("document.querySelector('.list').scrollTop") > before / 2


async def test_a_call_is_found_taken_noted_and_closed_by_keyboard_alone(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(stop("c-1", name="One", contact_window="14:00-15:00"), stop("c-2", name="Two"))
        async with page(url) as at:
            assert await at.inner_text("h1") == "One"
            await at.keyboard.press("j")
            await at.wait_for_selector("h1:has-text('Two')")
            await at.keyboard.press("t")
            await at.wait_for_selector(".badge-taken")
            await at.keyboard.press("n")
            await at.keyboard.type("1 2 3: busy, call again in May")
            await at.keyboard.press("Escape")
            await at.keyboard.press("2")
            await at.wait_for_selector(".closed-done")
            assert "No answer" in await at.inner_text(".closed-done")
            await at.keyboard.press("u")
            await at.wait_for_selector(".outcome")
        tasks = {task.customer_id: task for task in await here.tasks()}
        assert tasks["c-1"].state == "open"
        assert tasks["c-2"].state == "acknowledged"
        changes = [row.change for row in await here.rows("task_history") if row.task_id == stop("c-2").id]
        assert changes == ["opened", "acknowledged", "done", "reopened"]


async def test_in_japanese_at_phone_width_the_list_comes_first_and_nothing_overflows(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(stop("c-1", name="株式会社" + "あ" * 120, phone="03-1234-5678", csm="csm-1"))
        async with page(url, language="ja-JP", width=390) as at:
            assert await at.locator(".list").is_visible()
            assert not await at.locator("h1").is_visible()
            await at.click(".row")
            await at.wait_for_selector("h1")
            assert "様" in await at.inner_text("h1")
            assert not await at.locator(".list").is_visible()
            overflow = await at.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0
            await at.click("text=話せた")
            await at.wait_for_selector(".closed-done")
        assert (await here.task()).outcome == "reached"


async def test_every_page_fits_a_phone_in_both_languages(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(stop("c-1", name="株式会社" + "あ" * 120, phone="03-1234-5678", csm="csm-1"))
        await here.notifier.desk.change(
            stop("c-1").id, lambda task, now_us: finish(task, "csm-1", "reached", "a" * 300, now_us)
        )
        customer = "/customer?product=reserve&id=c-1"
        for language in ("ja-JP", "en"):
            async with page(url, language=language, width=390) as at:
                for path in ("/", "/?who=done", f"/tasks/{stop('c-1').id}", customer, "/team", "/operator"):
                    await at.goto(url + path)
                    overflow = await at.evaluate("document.documentElement.scrollWidth - innerWidth")
                    assert overflow <= 0, (language, path)


async def test_without_scripts_every_action_is_still_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(stop(name="One"))
        async with chromium() as browser:
            context = await browser.new_context(java_script_enabled=False, locale="en")
            at = await context.new_page()
            await at.goto(url)
            assert not await at.locator("kbd").first.is_visible()
            await at.click("button[value=reached]")
            assert await at.locator(".closed-done").is_visible()
        assert (await here.task()).state == "done"
