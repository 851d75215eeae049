from html.parser import HTMLParser

import pytest
from matrices import small
from modelmill.cli.matrix_page import page_of
from modelmill.cli.matrix_rows import rows_of


class Page(HTMLParser):
    """The page's tables by class, and every address that it names."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.addresses, self.titles, self.tags = {}, [], [], []
        self._cell = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]
        if tag == "table":
            self.rows = self.tables.setdefault(given["class"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self._cell = [given.get("data-value"), "", given.get("style", ""), given.get("title", "")]
            self.rows[-1].append(self._cell)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell = None

    def handle_data(self, data):
        if self._cell is not None:
            self._cell[1] += data

    def texts(self, name):
        return [[cell[1] for cell in row] for row in self.tables[name]]


@pytest.fixture
def text():
    return page_of("pnet <b>", rows_of(small()), ["a note & more"])


@pytest.fixture
def page(text):
    return Page(text)


def test_there_is_a_row_for_each_version(page):
    rows = page.texts("versions")
    assert [row[0] for row in rows] == ["version", "1.5.0", "1.6.0", "1.7.1", "1.9.0", "1.10.1", "2.15.1", "2.16.2"]
    assert rows[6][1:] == ["tf-2.15", "done", "1.0 KiB", "3", "1.50", "1e-07", "5e-08", "1.10.1", "4e-07", "2e-07"]
    assert rows[1][2] == "failed: UNSUPPORTED_OPERATION"


def test_numbers_sort_as_numbers_and_versions_as_versions(page):
    values = [row[0][0] for row in page.tables["versions"][1:]]
    assert values == [str(rank) for rank in range(7)]
    assert [row[3][0] for row in page.tables["versions"]][4:] == ["1024", "1024", "1024", "1024"]
    assert page.tables["versions"][1][3][0] == ""


def test_the_operators_of_each_version_are_there(page):
    rows = page.texts("operators")
    assert rows[0] == ["operator", "1.9.0", "1.10.1", "2.15.1", "2.16.2"]
    assert ["PRELU", "", "1", "1", "1"] in rows
    assert ["NEG", "2", "", "", ""] in rows


def test_the_heat_map_has_each_pair_twice_with_one_shade(page):
    rows = page.tables["heat"]
    assert [cell[1] for cell in rows[0]] == ["", "1.9.0", "1.10.1", "2.15.1"]
    assert [cell[1] for cell in rows[1]] == ["1.9.0", "", "2e-1", "2e-1"]
    assert rows[1][2][2] == rows[2][1][2] != rows[3][2][2]
    assert rows[2][3][3] == "1.10.1 and 2.15.1: 2e-07 of the range, 4e-07"


def test_it_needs_nothing_from_elsewhere_and_takes_no_markup_from_the_model(page, text):
    assert page.addresses == []
    assert "http://" not in text
    assert "https://" not in text
    assert not {"link", "img", "b", "iframe"} & set(page.tags)
    assert "pnet &lt;b&gt;" in text
    assert "TOCO does not know &lt;LeakyRelu&gt;." in text
    assert "a note &amp; more" in text


def test_without_any_version_it_is_still_a_page():
    assert "no version can make it" in page_of("x", [], [])
