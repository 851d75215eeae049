"""The page of an inspection: every table, also those of facts that nobody here has heard of."""

from html.parser import HTMLParser

import pytest
from inspections import mobile_net, picture
from modelmill.cli.inspect_page import page_of


class Page(HTMLParser):
    """The text under each heading, the rows of its table, and every address that the page names."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.texts, self.addresses = {}, {}, []
        self._heading, self._in = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.addresses += [value for name, value in attrs if name in ("src", "href", "action")]
        self._in = tag
        if tag == "h2":
            self._heading = ""
        elif tag == "tr":
            self.rows.setdefault(self._heading, []).append([])
        elif tag in ("td", "th"):
            self.rows[self._heading][-1].append("")

    def handle_data(self, data):
        if self._in == "h2":
            self._heading += data
        elif self._in in ("td", "th", "button") and self._heading in self.rows:
            self.rows[self._heading][-1][-1] += data
        elif self._in == "p":
            self.texts[self._heading] = self.texts.get(self._heading, "") + data


def page(facts=None):
    return Page(page_of("a model", mobile_net() if facts is None else facts))


def test_known_facts_have_titles_and_names_first():
    rows = page().rows
    assert rows["Inputs"] == [
        ["name", "op", "dtype", "shape", "tensor"],
        ["image", "Placeholder", "float32", "1x?x?x3", "image:0"],
    ]
    assert rows["Operations"][:3] == [["name", "value"], ["Const", "62"], ["BiasAdd", "31"]]
    assert rows["Security findings"][0][:3] == ["severity", "reason", "node"]
    assert rows["Support by node"][1] == ["odd", "Mystery", "tflite 1.12 missing, tfjs 4.22 builtin"]
    assert len(rows["Costs by node"]) == 1 + 14
    assert rows["Shapes that the costs are for"][1] == ["image", "1x224x224x3"]


def test_single_values_stand_at_the_top():
    rows = dict(row for row in page().rows[""])
    assert rows["nodes"] == "152"
    assert rows["costs: multiply adds"] == "1,234,567,890"
    assert rows["security: highest"] == "high"
    assert rows["TensorFlow"].startswith("written by TensorFlow 1.12.0; read by 1.12 to 2.21")


def test_a_list_that_was_cut_says_so():
    assert page().texts["Unknown dimensions"] == "The first 1 of 76."


@pytest.mark.parametrize(
    ("value", "rows"),
    [
        ([{"a": 1, "b": [1, 2]}, {"c": None}], [["a", "b", "c"], ["1", "1, 2", ""], ["", "", ""]]),
        ({"x": 1, "y": 2}, [["name", "value"], ["y", "2"], ["x", "1"]]),
        (["one", "two"], [["value"], ["one"], ["two"]]),
    ],
)
def test_facts_that_it_has_no_title_for_are_there_under_their_own_names(value, rows):
    assert page({"kind": "strange.kind", "odd_fact": value}).rows["Odd fact"] == rows


def test_an_object_with_lists_in_it_is_opened():
    rows = page({"kind": "x", "edge": {"runs": 3, "parts": [{"name": "a"}]}}).rows
    assert rows["Edge: parts"] == [["name"], ["a"]]
    assert ["edge: runs", "3"] in rows[""]


def test_there_is_a_picture_where_there_are_nodes_and_nothing_is_fetched():
    drawn = {**mobile_net(), "picture": {**picture(("image", "Placeholder")), "nodes_count": 30000}}
    assert "Only the first 1 of 30,000 nodes are drawn." in page(drawn).texts["Graph"]
    assert "Graph" not in page().texts
    assert all(address.startswith("#") for address in page(drawn).addresses)


def test_every_word_of_a_model_is_text():
    evil = "<b onclick='x()'>&\"</b></script>"
    facts = {"kind": evil, "notes": [evil], evil: [{evil: evil}], "inputs": [{"name": evil, "shape": evil}]}
    text = page_of(evil, {**facts, "picture": picture((evil, evil))})
    assert "<b " not in text
    assert text.count("</script>") == 3  # the sorting's, the picture's and its data's
