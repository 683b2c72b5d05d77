"""Pictures of the page for the documentation, taken while the demo runs: ``make pictures``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from playwright.async_api import Browser, async_playwright

from simulator.broker import free_port
from simulator.children import command, until_said
from tests.browser.chromium import LAUNCH

TRAFFIC_S = 30.0


async def take(directory: Path) -> None:
    """Start page wide and narrow, and the page of the newest case."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "demo.log"
        arguments = ["demo", "--seed", "7", "--port", str(port)]
        async with command(arguments, log) as demo, async_playwright() as playwright:
            await until_said(demo, log, "open the page")
            await asyncio.sleep(TRAFFIC_S)
            browser = await playwright.chromium.launch(**LAUNCH)
            page = f"http://127.0.0.1:{port}/"
            await _shoot(browser, f"{page}?lang=en", 1440, 1180, directory / "page.png")
            await _shoot(browser, f"{page}?lang=zh", 390, 1180, directory / "page-narrow.png")
            await browser.close()


async def _shoot(browser: Browser, url: str, width: int, height: int, file: Path) -> None:
    page = await browser.new_page(viewport={"width": width, "height": height})
    await page.goto(url)
    await page.wait_for_timeout(2_500)
    await page.screenshot(path=file)
    await page.close()


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))
