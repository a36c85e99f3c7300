"""The inbox in a real browser: by keyboard alone, in Japanese, at phone width."""

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

from services.notifier.web.access import LocalAccess
from shared.http import install_errors
from tests.integration.notifier.world import World, world
from tests.unit.notifier.cases import config, stop

CHROMIUM = shutil.which("chromium")
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None and os.environ.get("CI") != "true", reason="no chromium here"),
    # Playwright's own transport leaves this to the collector when a browser is closed.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[tuple[World, str]]:
    """The notifier's pages on a free port of this machine."""
    async with world(path, config(playbooks=[{"on": "usage.stopped"}])) as here:
        app = FastAPI()
        install_errors(app)
        app.include_router(here.notifier.pages(LocalAccess(frozenset(here.parts.config.csms))).router)
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical"))
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.wait({running}, timeout=0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield here, f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            await running


@asynccontextmanager
async def page(url: str, *, language: str = "en", width: int = 1280) -> AsyncIterator[Page]:
    async with async_playwright() as playwright:
        browser: Browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        opened = await browser.new_page(locale=language, viewport={"width": width, "height": 900})
        faults: list[str] = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        await opened.goto(url)
        yield opened
        await browser.close()
        assert faults == []


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


async def test_without_scripts_every_action_is_still_there(tmp_path: Path) -> None:
    async with serving(tmp_path) as (here, url):
        await here.read(stop(name="One"))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
            context = await browser.new_context(java_script_enabled=False, locale="en")
            at = await context.new_page()
            await at.goto(url)
            assert not await at.locator("kbd").first.is_visible()
            await at.click("button[value=reached]")
            assert await at.locator(".closed-done").is_visible()
            await browser.close()
        assert (await here.task()).state == "done"
