"""The pages in a real Chromium: live without reload, plotted, in two languages, on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.chromium import LAUNCH
from tests.browser.sample_station import CAR, LEGAL_SEMI, OVER_SEMI, Served, served

pytestmark = pytest.mark.browser

expect.set_options(timeout=60_000)

OVER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**LAUNCH)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("station")) as sample:
        yield sample


@pytest.fixture
def page(browser: Browser, sample: Served) -> Iterator[Page]:
    context = browser.new_context(base_url=sample.url, locale="zh-CN")
    context.set_default_timeout(60_000)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    yield page
    context.close()
    meant = ("ERR_INTERNET_DISCONNECTED", "status of 404")  # a cut line, a page that is not there
    complaints = [c for c in complaints if not any(m in c for m in meant)]
    assert complaints == [], "no script error, nothing that the content policy stopped"


def test_a_vehicle_appears_without_reload(page: Page, sample: Served) -> None:
    page.goto("/")
    lane = page.locator('[data-part="lane-1"]')
    expect(lane).to_contain_text("49,250")
    page.evaluate("window.notReloaded = true")
    sample.seal(LEGAL_SEMI)
    expect(lane).to_contain_text("冀B·5T288")
    expect(lane).to_contain_text("44,750")
    expect(page.locator('[data-part="recent"] li').first).to_contain_text("冀B·5T288")
    assert page.evaluate("window.notReloaded")


def test_the_operator_guides_a_vehicle_with_one_click(page: Page, sample: Served) -> None:
    record = sample.seal(OVER_SEMI)
    page.goto("/")
    form = page.locator(f'form[action="/cases/{record.index}/guided"]')
    form.get_by_role("button", name="已引导").click()
    expect(page.locator('[data-part="lane-2"]')).to_contain_text("已引导到精检秤")
    expect(form).to_have_count(0)


def test_a_click_aimed_at_what_just_moved_away_guides_nobody(page: Page, sample: Served) -> None:
    old = sample.seal(OVER_SEMI)
    page.goto("/")
    button = f'form[action="/cases/{old.index}/guided"] button'
    page.locator(button).focus()
    page.evaluate("""() => {
        const todo = document.querySelector('[data-part="todo"]');
        const first = () => todo.querySelector("form").action;
        const before = first();
        new MutationObserver((_, observer) => {
            if (first() === before) return;
            observer.disconnect();
            addEventListener("click", (event) => {
                document.body.dataset.click = event.defaultPrevented ? "refused" : "taken";
            }, { once: true });
            const unseen = performance.now() + 700;  // the machine stalls before it is painted
            while (performance.now() < unseen);
            todo.querySelector("form button").click();
        }).observe(todo, { childList: true });
    }""")
    new = sample.seal(OVER_SEMI)
    expect(page.locator("body")).to_have_attribute("data-click", "refused")
    page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 600)))")
    form = page.locator(f'form[action="/cases/{new.index}/guided"]')
    form.get_by_role("button", name="已引导 豫C·8L930").click()
    expect(form).to_have_count(0)


def test_the_keyboard_stays_where_it_was_when_a_vehicle_comes(page: Page, sample: Served) -> None:
    old = sample.seal(OVER_SEMI)
    page.goto("/")
    page.locator(f'form[action="/cases/{old.index}/guided"] button').focus()
    new = sample.seal(OVER_SEMI)
    expect(page.locator(f'form[action="/cases/{new.index}/guided"]')).to_have_count(1)
    held = page.evaluate("document.activeElement.closest('form')?.getAttribute('action')")
    assert held == f"/cases/{old.index}/guided"


def test_waveforms_are_plotted_and_zoomed(page: Page) -> None:
    page.goto("/vehicles/7")
    canvas = page.locator("#waves canvas").first
    expect(page.locator("#waves canvas")).to_have_count(2)
    inked = """canvas => {
        const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return data.filter((v, i) => i % 4 === 3 && v > 0).length;
    }"""
    assert canvas.evaluate(inked) > 1_000
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    reset = page.locator("#wave-reset")
    expect(reset).to_be_hidden()
    page.mouse.move(box["x"] + 150, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 260, box["y"] + 60, steps=4)
    page.mouse.up()
    expect(reset).to_be_visible()
    reset.click()
    expect(reset).to_be_hidden()


def test_the_picture_of_the_plate_is_shown(page: Page) -> None:
    page.goto("/vehicles/7")
    picture = page.locator(".candidate img")
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.naturalWidth") == 640


def test_language_switch_is_remembered(page: Page, sample: Served) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="现在要做的事")).to_be_visible()
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", name="What to do now")).to_be_visible()
    page.goto("/vehicles/7")
    expect(page.get_by_role("heading", name="Verdict")).to_be_visible()
    page.goto("/")
    sample.seal(replace(LEGAL_SEMI, plate="冀B9Z876"))
    lane = page.locator('[data-part="lane-1"]')
    expect(lane).to_contain_text("冀B·9Z876")  # by the live stream, which must speak English too
    expect(lane).to_contain_text("Within limit")
    expect(page.get_by_role("heading", name="What to do now")).to_be_visible()


@pytest.mark.parametrize("language", ["zh", "en"])
def test_nothing_scrolls_sideways_on_a_phone(page: Page, language: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/vehicles/7", "/vehicles/5", "/records", "/records/0", "/devices", "/no"):
        page.goto(f"{path}?lang={language}")
        assert page.evaluate(OVER) <= 0, path


def test_a_lost_station_is_said_and_found_again(page: Page) -> None:
    page.clock.install()
    page.goto("/")
    banner = page.locator(".lost")
    expect(banner).to_be_hidden()
    page.context.set_offline(True)
    page.evaluate("stop()")  # the open stream; the browser tries again and finds no network
    page.clock.fast_forward(5_000)
    expect(banner).to_be_visible()
    page.context.set_offline(False)
    expect(banner).to_be_hidden()


def test_a_car_is_drawn_as_one(page: Page, sample: Served) -> None:
    record = sample.seal(CAR)
    page.goto(f"/vehicles/{record.index}")
    expect(page.locator(".truck .axle")).to_have_count(2)
    expect(page.locator(".truck .truck-body")).to_have_count(1)
    expect(page.locator(".verdict-within").first).to_contain_text("未超限")
