"""Takes the pictures of docs/tour.md from the running product, with the simulated GHL, into docs/tour/.

    .venv/bin/pip install playwright pillow     # not part of the locked tools
    .venv/bin/python docs/tour.py               # two minutes

It needs Prometheus on the path, and a Chromium: the one that TOUR_BROWSER names or that is on the path, or
else Playwright's own (`.venv/bin/playwright install chromium`). All else is in a temporary folder.
"""

# ruff: noqa: T201 - Printing is how this script says what it does.

import html
import io
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import requests
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from ghl_snapshots.capture.composition import database_url
from ghl_snapshots.core.settings import Settings
from ghl_snapshots.local.dev import webserver_answers
from ghl_snapshots.local.environment import product_environment, variables
from ghl_snapshots.local.foreground import script
from ghl_snapshots.local.simulated import simulated_ghl
from ghl_snapshots.simulator.server import Simulator

FOLDER = Path(__file__).parent / "tour"
DEPLOY = Path(__file__).parents[1] / "deploy" / "prometheus"
PORT, API_PORT, PROMETHEUS_PORT = 3900, 8900, 9900
DAGSTER = f"http://127.0.0.1:{PORT}"
TENANT, SCOPE = "whitfield-family-law", "opportunities.readonly"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TERMINAL = """<body style="margin:0;background:#17171f"><pre style="margin:0;padding:18px 22px;color:#e6e6ec;
font:14px/1.45 'DejaVu Sans Mono',Menlo,monospace;white-space:pre-wrap">%s</pre></body>"""


class Camera:
    """Takes pictures of pages once they have loaded."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def page(self, name: str, url: str, shows: str, *, height: int = 800) -> None:
        """Picture a page that has all its data when it shows these words."""
        self._page.set_viewport_size({"width": 1400, "height": height})
        self._page.goto(url)
        self._page.get_by_text(shows).first.wait_for(timeout=60_000)
        self._page.wait_for_function("!document.body.innerText.includes('Loading')", timeout=60_000)
        self._page.wait_for_timeout(1500)  # what moves or fades in
        self._page.evaluate("scrollTo(0, 0)")
        self._save(name)

    def terminal(self, name: str, *transcripts: str) -> None:
        """Picture what commands printed."""
        self._page.set_viewport_size({"width": 1160, "height": 100})
        self._page.set_content(TERMINAL % html.escape("\n\n".join(transcripts)))
        self._save(name, full_page=True)

    def _save(self, name: str, *, full_page: bool = False) -> None:
        taken = Image.open(io.BytesIO(self._page.screenshot(full_page=full_page)))
        file = FOLDER / f"{name}.png"
        with_256_colours(taken.convert("RGB")).save(file, optimize=True)
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")


def with_256_colours(image: Image.Image) -> Image.Image:
    """The picture in a third of the room: its 64 most common colours as they are, the others nearly so.

    Pillow's own quantization gives areas of one colour another one, which here means something.
    """
    pixels = list(zip(*[iter(image.tobytes())] * 3, strict=True))
    counts = Counter(pixels)
    others = image.quantize(192, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).getpalette() or []
    palette = [colour for colour, _ in counts.most_common(64)]
    palette += zip(*[iter(others[: 3 * 192])] * 3, strict=True)
    nearest = {
        colour: min(range(len(palette)), key=lambda place: math.dist(colour, palette[place]))
        for colour in counts
    }
    drawn = Image.new("P", image.size)
    drawn.putpalette([value for colour in palette for value in colour])
    drawn.putdata([nearest[pixel] for pixel in pixels])
    return drawn


def run(*arguments: str) -> str:
    """What a person sees who gives this command; some end with exit code 1, which says what they found."""
    done = subprocess.run(
        [script("ghl-snapshots"), *arguments],
        env={**os.environ, "COLUMNS": "110"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return f"$ ghl-snapshots {' '.join(arguments)}\n{done.stdout}".strip()


@contextmanager
def started(command: list[str], output: Path, ready: Callable[[], bool]) -> Iterator[None]:
    """A process that answers, until the end of the block."""
    with output.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file) as process:
        try:
            deadline = time.monotonic() + 120
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"{command[0]} does not start:\n{output.read_text(errors='replace')[-2000:]}")
                time.sleep(0.5)
            yield
        finally:
            process.terminate()


@contextmanager
def prometheus(folder: Path) -> Iterator[str]:
    """The address of a Prometheus with what deploy/ ships, in more of a hurry."""
    program = shutil.which("prometheus") or sys.exit(
        "prometheus is not on the path: apt-get install prometheus"
    )
    config = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    config = config.replace("127.0.0.1:8000", f"127.0.0.1:{API_PORT}").replace(
        "interval: 30s", "interval: 1s"
    )
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    shutil.copy(DEPLOY / "alerts.yml", folder)
    address = f"127.0.0.1:{PROMETHEUS_PORT}"
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
    ]
    with started(command, folder / "prometheus.log", lambda: answers(f"http://{address}/-/ready")):
        yield f"http://{address}"


def answers(url: str) -> bool:
    """Whether a good answer comes from this machine's address."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=1).ok
        except requests.RequestException:
            return False


def dashboard_page(base_url: str) -> str:
    """Prometheus's own page with the expressions of two of the dashboard's panels."""
    panels = {
        panel["title"]: panel["targets"][0]["expr"].replace("$tenant", ".*").replace("$one", TENANT)
        for panel in json.loads((DEPLOY / "dashboard.json").read_text(encoding="utf-8"))["panels"]
        if panel.get("targets")
    }
    shown: dict[str, str] = {}
    for number, (title, tab) in enumerate(
        (("State of the newest capture", "0"), ("Bytes stored, the ten largest tenants", "1"))
    ):
        prefix = f"g{number}."
        shown |= {f"{prefix}expr": panels[title], f"{prefix}tab": tab, f"{prefix}range_input": "2m"}
    return f"{base_url}/graph?{urlencode(shown)}"


def altered(settings: Settings) -> None:
    """Do what nobody can but a superuser who takes the ledger's protection away: change a stored body."""
    with psycopg.connect(database_url(settings), autocommit=True) as superuser:
        superuser.execute("ALTER TABLE ghl.entity DISABLE TRIGGER append_only")
        superuser.execute("ALTER TABLE ghl.entity DROP CONSTRAINT entity_check")
        superuser.execute(
            "UPDATE ghl.entity SET body = body || ' ' WHERE id = ("
            "SELECT min(id) FROM ghl.entity WHERE endpoint = '/workflows/')"
        )


def tour(camera: Camera, ghl: Simulator, prometheus_url: str) -> None:
    """The pictures from a demo that went well to a check that failed and its cure."""
    camera.page("02-lineage", f"{DAGSTER}/asset-groups", "12 / 13 Passed", height=1150)
    camera.page("03-asset", f"{DAGSTER}/assets/pipelines", "snapshot_id", height=1480)

    [location] = [one for one in ghl.accounts.locations.values() if one.name == "Whitfield Family Law"]
    location.scopes.remove(SCOPE)
    run("snapshot", "--all", "--type", "pipelines")
    camera.page("04-runs", f"{DAGSTER}/runs", "1 of 3 failed", height=640)
    failed = f"{DAGSTER}/assets/pipelines?view=partitions&partition={TENANT}"
    camera.page("05-partitions", failed, "did not materialize", height=720)
    run("dagster", "job", "execute", "-j", "daily_checks")
    check = f"{DAGSTER}/assets/ledger/pipelines?view=checks&checkDetail=latest_complete"
    camera.page("06-check", check, "1 fault of 1 tenant")

    problems = run("status", "--problems")
    location.scopes.add(SCOPE)
    again = run("snapshot", "--tenant", TENANT, "--type", "pipelines")
    camera.terminal("07-cure", problems, again, run("status"))
    run("dagster", "job", "execute", "-j", "daily_checks")
    camera.page("08-green-again", check, "Passed", height=640)

    camera.page(
        "09-api", f"http://127.0.0.1:{API_PORT}/docs", "/api/snapshots/{snapshotId}/verify", height=980
    )
    camera.page("10-prometheus", dashboard_page(prometheus_url), "{tenant_id=", height=1260)


def main() -> None:
    """Take them all."""
    FOLDER.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ghl_snapshots_tour_")))
        folder.chmod(0o755)  # PostgreSQL's user is another one where this is run by root
        stack.enter_context(variables({"GHL_SNAPSHOTS_HOME": str(folder / "home")}))
        program = os.environ.get("TOUR_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
        sandbox = [] if os.getuid() else ["--no-sandbox"]  # Chromium refuses to be root in one
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program, args=sandbox)
        camera = Camera(
            stack.enter_context(browser.new_context(timezone_id="UTC", locale="en-US")).new_page()
        )

        camera.terminal("01-demo", run("demo"))
        settings = stack.enter_context(product_environment())
        ghl = stack.enter_context(simulated_ghl(settings))
        dev = [script("ghl-snapshots"), "dev", "--port", str(PORT), "--api-port", str(API_PORT)]
        stack.enter_context(started(dev, folder / "dev.log", lambda: webserver_answers(PORT)))
        tour(camera, ghl, stack.enter_context(prometheus(folder)))
        altered(settings)
        run("dagster", "job", "execute", "-j", "weekly_checks")
        checks = f"{DAGSTER}/assets/ledger/workflows?view=checks&checkDetail=intact"
        camera.page("altered-snapshot", checks, "offenders")


if __name__ == "__main__":
    main()
