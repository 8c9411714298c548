"""What people see in a browser: runs and their comparison in MLflow's UI, a run's report, its tables at the keyboard.

Skipped where Debian's chromium and its driver are not installed. ``TELECLASS_SCREENSHOTS`` names a folder to keep the
screenshots in.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import write_course_layout
from experiments import clean_environment, mlflow_runs
from reports import run_values
from tracked import started

from teleclass.report.assemble import assemble
from teleclass.report.page import render

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed"),
]

DESK, PHONE = 1280, 390


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working directory whose store has two runs, "first" and "second", with the report of the same results."""
    folder = tmp_path_factory.mktemp("browser")
    report = assemble(run_values(write_course_layout(folder / "data")))
    (folder / "report.html").write_text(render(report), "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for number, name in enumerate(("first", "second")):
            tracker, _ = started({"training.epochs": number + 1}, experiment="teleclass", run_name=name)
            tracker.metrics({"test/example_f1": 0.7 + number / 10})
            tracker.artifact(Path("report.html"))
            tracker.end("FINISHED")
    return folder


@pytest.fixture(scope="module")
def browser():
    from selenium import webdriver

    settings = webdriver.ChromeOptions()
    settings.binary_location = CHROMIUM
    # Nothing but this machine can be reached: a page that needs the network shows it here.
    for option in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"):  # fmt: skip
        settings.add_argument(option)
    settings.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=settings, service=webdriver.ChromeService(DRIVER))
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(folder):
    """Where ``teleclass ui`` answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "teleclass", "ui", "--port", str(port)], cwd=folder, env=clean_environment(),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: urllib.request.urlopen(f"{address}/health", timeout=5).status == 200, 60)
        yield address
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)


@pytest.fixture
def screenshot(browser, tmp_path):
    """Keeps what the browser shows as a PNG of the given name."""
    kept = Path(os.environ.get("TELECLASS_SCREENSHOTS") or tmp_path)
    kept.mkdir(parents=True, exist_ok=True)

    def take(name: str) -> None:
        file = kept / f"{name}.png"
        assert browser.save_screenshot(str(file))
        assert file.stat().st_size > 5_000, "the picture is empty"

    return take


def wait_for(condition, seconds: float = 30) -> None:
    """Until a condition holds that may fail meanwhile, as pages fill themselves by and by."""
    end = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except Exception as error:
            last: object = error
        else:
            last = "it does not hold"
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s: {last}")
        time.sleep(0.2)


def words(browser) -> str:
    return browser.execute_script("return document.body.innerText")


def console_errors(browser) -> list[str]:
    """Errors in the console of MLflow's pages.

    One is MLflow's own: its pages ask every server who is logged in, and one without accounts answers 404.
    """
    errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [error for error in errors if "/mlflow/users/current - Failed to load resource" not in error]


def resize(browser, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def open_report(browser, folder: Path, width: int = DESK) -> None:
    resize(browser, width)
    browser.get((folder / "report.html").as_uri())


def test_the_list_of_runs_shows_both_and_they_can_be_compared(browser, address, folder, screenshot):
    first, second = mlflow_runs(folder)
    experiment = first.info.experiment_id
    resize(browser, DESK)
    browser.get(f"{address}/#/experiments/{experiment}/runs")
    wait_for(lambda: all(name in words(browser) for name in ("first", "second")))
    screenshot("runs")
    chosen, of = (quote(json.dumps(names)) for names in ([first.info.run_id, second.info.run_id], [experiment]))
    browser.get(f"{address}/#/compare-runs?runs={chosen}&experiments={of}")
    wait_for(lambda: all(text in words(browser) for text in ("Comparing 2 Runs", "training.epochs", "test/example_f1")))
    wait_for(lambda: browser.find_elements("css selector", ".js-plotly-plot svg"))
    screenshot("compare")
    assert console_errors(browser) == []


def test_a_runs_report_opens_from_its_artifacts(browser, address, folder, screenshot):
    newest = mlflow_runs(folder)[-1].info
    resize(browser, DESK)
    browser.get(f"{address}/#/experiments/{newest.experiment_id}/runs/{newest.run_id}/artifacts/report.html")
    wait_for(lambda: browser.find_elements("css selector", "iframe"))
    browser.switch_to.frame(browser.find_element("css selector", "iframe"))
    try:
        wait_for(lambda: browser.find_element("css selector", "h1").text == "teleclass: data")
        assert len(browser.find_elements("css selector", "figure svg")) > 5
    finally:
        browser.switch_to.default_content()
    screenshot("report_in_mlflow")
    assert console_errors(browser) == []


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_the_report_fits_the_screen_and_the_console_stays_empty(browser, folder, screenshot, width):
    browser.get_log("browser")
    open_report(browser, folder, width)
    screenshot(f"report_{width}")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    too_wide = browser.execute_script(
        "return [...document.querySelectorAll('figure, .table, article, dl')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).map(e => e.id || e.className)"
    )
    assert too_wide == []
    assert browser.get_log("browser") == []


def test_tables_sort_by_mouse_and_keyboard_and_say_how(browser, folder):
    from selenium.webdriver.common.keys import Keys

    open_report(browser, folder)
    heads = browser.find_elements("css selector", "#by_class th")
    names = [head.text for head in heads]

    def column(name: str) -> list[str]:
        cells = browser.find_elements("css selector", f"#by_class td:nth-child({names.index(name) + 1})")
        return [cell.text for cell in cells]

    browser.execute_script("arguments[0].click()", heads[0].find_element("css selector", "[role=button]"))
    assert heads[0].get_attribute("aria-sort") == "ascending"
    assert column("class") == sorted(column("class"))
    gold = heads[names.index("gold")]
    for key, order, turned in ((Keys.ENTER, "descending", True), (Keys.SPACE, "ascending", False)):
        gold.find_element("css selector", "[role=button]").send_keys(key)
        assert gold.get_attribute("aria-sort") == order
        values = [int(cell) for cell in column("gold")]
        assert values == sorted(values, reverse=turned)
        assert len(set(values)) > 1
    assert heads[0].get_attribute("aria-sort") is None


def test_without_scripts_and_on_paper_every_row_is_there(browser, folder):
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_report(browser, folder)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        for table in browser.find_elements("css selector", ".table"):
            rows = table.find_elements("css selector", "tbody tr")
            assert all(row.size["height"] > 0 for row in rows)
            assert table.value_of_css_property("overflow-y") == "visible"
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
