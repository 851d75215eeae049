"""The page in a real browser: a click on a heading sorts, and nothing is fetched. Needs Chromium on PATH."""

import shutil
import subprocess

import pytest
from matrices import small
from modelmill.cli.matrix_page import page_of
from modelmill.cli.matrix_rows import rows_of

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")

#: Clicks the heading of that number so many times, then writes the first column into the title.
CLICK = """<script>
const table = document.querySelector("table.versions"), head = table.tHead.rows[0].cells[{column}];
for (let i = 0; i < {times}; i++) head.querySelector("button").click();
const firsts = [...table.tBodies[0].rows].map(row => row.cells[0].innerText);
document.title = "sorted " + firsts.join(" ") + " " + head.getAttribute("aria-sort")
  + " fetched " + performance.getEntriesByType("resource").length;
</script>"""

VERSION, ERROR = 0, 6
BY_VERSION = ["1.5.0", "1.6.0", "1.7.1", "1.9.0", "1.10.1", "2.15.1", "2.16.2"]


@pytest.mark.parametrize(
    ("column", "times", "order"),
    [
        (VERSION, 1, [*BY_VERSION, "ascending"]),
        (VERSION, 2, [*reversed(BY_VERSION), "descending"]),
        (ERROR, 1, ["2.15.1", "1.10.1", "1.9.0", "1.5.0", "1.6.0", "1.7.1", "2.16.2", "ascending"]),
        (ERROR, 2, ["1.9.0", "1.10.1", "2.15.1", "1.5.0", "1.6.0", "1.7.1", "2.16.2", "descending"]),
    ],
)
def test_a_click_sorts_and_what_has_no_number_comes_last(tmp_path, column, times, order):
    script = CLICK.replace("{column}", str(column)).replace("{times}", str(times))
    page = tmp_path / "page.html"
    page.write_text(page_of("pnet", rows_of(small()), []).replace("</body>", script + "</body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    run = subprocess.run(
        [CHROMIUM, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert f"<title>sorted {' '.join(order)} fetched 0</title>" in run.stdout
