"""The page in headless Chromium, at the widths of a desktop and of a phone."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

import noumena as nm
from noumena.report import write_report

from .conftest import HOSTILE

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"),
]

#: Shows the page in a frame of the given width and writes down how wide it became, and what scrolls in vain.
WRAPPER = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe>
<pre id="measured"></pre><script>
document.getElementById("frame").addEventListener("load", function () {{
  const inside = this.contentDocument, view = inside.documentElement;
  const held = (node) => node.closest(".scroll, pre, svg");
  const wide = [...inside.body.querySelectorAll("*")].filter((node) => !held(node.parentElement) &&
    node.getBoundingClientRect().right > view.clientWidth + 0.5);
  document.getElementById("measured").textContent = JSON.stringify({{
    client: view.clientWidth, scroll: view.scrollWidth, title: inside.title, height: view.scrollHeight,
    svgs: inside.querySelectorAll("svg").length, scripts: inside.querySelectorAll("script").length,
    wide: wide.map((node) => node.tagName + "." + node.className).slice(0, 5),
    fonts: Math.min(...[...inside.querySelectorAll("p, td, th, li, figcaption, span, dt")]
      .filter((node) => node.textContent.trim()).map((node) => parseFloat(getComputedStyle(node).fontSize)))
  }});
}});
</script></body>"""


def browse(url: str, profile, *more: str) -> subprocess.CompletedProcess:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--enable-logging=stderr", "--v=0", *more, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


def console(log: str) -> list[str]:
    """What pages wrote to the console; Chromium's own complaints about the machine are not theirs."""
    return [line for line in log.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def pages(holes, swept, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    gm, frame = holes
    write_report(gm, frame, folder / "four.html", selection=swept)
    rng = np.random.default_rng(0)
    names = [f"a_long_name_without_any_place_to_break_it_{j}" for j in range(11)] + [HOSTILE]
    x = pd.DataFrame(rng.normal(size=(300, 12)) * 10.0 ** np.arange(-6, 6), columns=names)
    x.iloc[150:, :6] *= 3.0
    wide = nm.GaussianMixture(9, covariance="EII", random_state=0, max_iter=20, tol=0).fit(x)
    write_report(wide, x, folder / "twelve.html", standard_errors=False, title="W" * 200)
    levels = ["a long name without any place to break it " * 3, *map(str, range(30))]
    towns = np.array(levels, dtype=object)[rng.integers(0, 31, 300)]
    table = pd.DataFrame(
        {names[0]: rng.poisson(4.0, 300), "town": towns, **{f"q{j}": rng.random(300) < 0.5 for j in range(60)}}
    )
    many = nm.Mixture(n_components=12, prior="default", random_state=0, max_iter=3, tol=0).fit(table)
    write_report(many, table, folder / "levels.html", standard_errors=False)
    y = pd.Series(rng.random(300) < 0.5, name=HOSTILE).map({True: "W" * 60, False: "no"})
    explained = nm.RegressionMixture(
        4, "logistic", regressors=["town", "q0"], concomitant=[names[0]], prior="default", n_init=1, random_state=0,
        max_iter=5, tol=0,
    ).fit(table, y)  # fmt: skip
    write_report(explained, table, folder / "regression.html", y=y, standard_errors=False)
    answers = table[["town", "q0", "q1", "q2"]].mask(rng.random((300, 4)) < 0.1).rename(columns={"q2": HOSTILE})
    structure = {"q0": ["town"], "q1": ["q0", "h"], HOSTILE: ["town", "h"]}
    network = nm.BayesianNetwork(structure, hidden={"h": 2}, prior=1.0, n_init=1, random_state=0).fit(answers)
    write_report(network, answers, folder / "network.html", title="W" * 200)
    items = pd.DataFrame(
        rng.normal(size=(200, 3)) @ rng.normal(size=(3, 12)) + rng.normal(size=(200, 12)), columns=names
    )
    items = items.mask(rng.random(items.shape) < 0.02)
    pattern = {HOSTILE: names[:5] + names[11:], "W" * 60: names[4:9], "third": names[8:11]}
    factors = nm.FactorAnalysis(pattern=pattern, max_iter=20, tol=0).fit(items)
    write_report(factors, items, folder / "factors.html", title="W" * 200, standard_errors=False)
    chosen = np.array(["W" * 60, HOSTILE, "a third class with a name too long for any drawing"], dtype=object)
    y = pd.Series(chosen[rng.integers(0, 3, 300)], name="the response with a name that is too long " * 2)
    classes = nm.AugmentedClassifier("multinomial_logit", prior="ridge", max_iter=20, tol=0)
    write_report(classes.fit(table[[names[0], "town", "q0"]], y), table, folder / "classes.html", y=y)
    time = np.clip(x[names[5]] + rng.normal(size=300), -1.0, 1.0).rename(HOSTILE)
    tobit = nm.AugmentedRegressor("tobit", lower=-1.0, upper=1.0, prior="laplace", max_iter=50, tol=0)
    write_report(tobit.fit(x, time), x, folder / "tobit.html", y=time, title="W" * 200)
    return folder


@pytest.mark.parametrize("name", ["four", "twelve", "levels", "regression", "network", "factors", "classes", "tobit"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows_and_the_console_stays_silent(pages, tmp_path, name, width):
    page = (pages / f"{name}.html").read_text(encoding="utf-8")
    wrapper = tmp_path / "wrapper.html"
    wrapper.write_text(WRAPPER.format(width=width, page=html.escape(page)), encoding="utf-8")
    # The wrapper's frame takes over the page's policy; only the wrapper itself holds a script.
    done = browse(f"file://{wrapper}", tmp_path / "profile", "--dump-dom", "--window-size=1400,1000")
    assert console(done.stderr) == []
    found = re.search(r'<pre id="measured">(\{.*?\})</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:]
    measured = json.loads(html.unescape(found[1]))
    assert measured["client"] in (width, width - 15)  # with or without a scroll bar
    assert measured["scroll"] <= measured["client"]
    assert measured["wide"] == []
    assert measured["scripts"] == 0
    assert measured["svgs"] >= 3
    assert measured["fonts"] >= 11


def test_the_page_itself_loads_without_a_word(pages, tmp_path):
    done = browse(f"file://{pages / 'four.html'}", tmp_path / "profile", "--dump-dom")
    assert console(done.stderr) == []
    assert "2 clusters of 120 rows by 4 columns" in done.stdout
