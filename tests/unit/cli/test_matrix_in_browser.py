"""The page in a real browser: a click on a heading sorts, and nothing is fetched. Needs Chromium on PATH."""

import pytest
from browser import needs_chromium, title_after
from matrices import small
from modelmill.cli.matrix_page import page_of
from modelmill.cli.matrix_rows import rows_of

pytestmark = needs_chromium

#: Clicks the heading of that number so many times, then writes the first column into the title.
CLICK = """
const table = document.querySelector("table.versions"), head = table.tHead.rows[0].cells[{column}];
for (let i = 0; i < {times}; i++) head.querySelector("button").click();
const firsts = [...table.tBodies[0].rows].map(row => row.cells[0].innerText);
document.title = "sorted " + firsts.join(" ") + " " + head.getAttribute("aria-sort")
  + " fetched " + performance.getEntriesByType("resource").length;
"""

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
    title = title_after(tmp_path, page_of("pnet", rows_of(small()), []), script)
    assert title == f"sorted {' '.join(order)} fetched 0"
