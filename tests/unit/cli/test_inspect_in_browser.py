"""The page of an inspection in a real browser. Needs Chromium on PATH."""

import json

from browser import needs_chromium, title_after
from inspections import large_picture, mobile_net, picture
from modelmill.cli.inspect_page import page_of

pytestmark = needs_chromium

#: What the tests' scripts share; `tell` writes into the title what the page has become, when it has been drawn.
PROLOGUE = """
const id = name => document.getElementById(name), canvas = id("graph");
const press = name => id(name).click();
const type = text => { id("search").value = text; id("search").dispatchEvent(new Event("input")); };
const enter = () => id("search").dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
const pointer = (kind, x, y) => {
  const at = canvas.getBoundingClientRect();
  canvas.dispatchEvent(new PointerEvent(kind, {clientX: at.x + x, clientY: at.y + y, pointerId: 1, bubbles: true}));
};
const wheel = delta => canvas.dispatchEvent(new WheelEvent("wheel", {deltaY: delta, cancelable: true}));
const seen = () => ({...canvas.dataset, found: id("found").textContent, details: id("details").innerText});
const frame = () => new Promise(done => setTimeout(done, 60));
const tell = value => { document.title = JSON.stringify(value); };
"""


def told(tmp_path, facts, script):
    return json.loads(title_after(tmp_path, page_of("a model", facts), PROLOGUE + f"(async () => {{{script}}})();"))


def chain():
    return {
        **mobile_net(),
        "picture": picture(
            ("image", "Placeholder"),
            ("weights", "Const"),
            ("weights/read", "Identity", "weights"),
            ("conv", "Conv2D", "image", "weights/read"),
            ("heatmap", "Relu", "conv", "^image"),
        ),
    }


def test_nothing_is_fetched_and_weights_stand_in_what_reads_them(tmp_path):
    seen = told(
        tmp_path,
        chain(),
        "await frame(); tell({...seen(), fetched: performance.getEntriesByType('resource').length})",
    )
    assert (seen["fetched"], seen["visible"]) == (0, "3")


def test_the_wheel_and_the_buttons_zoom_and_dragging_moves(tmp_path):
    script = """
    await frame(); const first = seen();
    wheel(-400); await frame(); const near = seen();
    press("smaller"); press("smaller"); press("smaller"); press("smaller"); await frame(); const far = seen();
    pointer("pointerdown", 5, 5); pointer("pointermove", 65, 45); pointer("pointerup", 65, 45);
    await frame(); const moved = seen();
    press("whole"); await frame(); tell([first, near, far, moved, seen()]);
    """
    first, near, far, moved, whole = told(tmp_path, chain(), script)
    assert float(near["scale"]) > float(first["scale"]) > float(far["scale"])
    assert float(moved["x"]) == float(far["x"]) + 60
    assert float(moved["y"]) == float(far["y"]) + 40
    assert moved["scale"] == far["scale"]
    assert whole["scale"] == first["scale"]


def test_a_search_finds_by_name_and_by_operation_and_goes_from_match_to_match(tmp_path):
    script = """
    type("RELU"); const by_op = seen(); enter(); await frame(); const gone = seen();
    type("conv"); enter(); await frame(); const by_name = seen();
    type("nowhere"); tell([by_op, gone, by_name, seen()]);
    """
    by_op, gone, by_name, nowhere = told(tmp_path, chain(), script)
    assert by_op["found"].startswith("1 found")
    assert by_op["marked"] == "1"
    assert gone["selected"] == "heatmap"
    assert gone["found"] == "1 of 1: heatmap"
    assert "waits for\nimage (Placeholder)" in gone["details"].replace("\n\n", "\n")
    assert by_name["selected"] == "conv"
    assert "weights/read" in by_name["details"]
    assert "read by" in by_name["details"]
    assert nowhere["found"] == "nothing found"


def test_a_click_on_a_node_tells_its_details(tmp_path):
    script = """
    await frame();
    const x = Number(canvas.dataset.x), y = Number(canvas.dataset.y) + 10;  // the first node is drawn at 0, 0
    pointer("pointerdown", x, y); pointer("pointerup", x, y); const clicked = seen();
    pointer("pointerdown", 5, 5); pointer("pointerup", 5, 5); tell([clicked, seen()]);
    """
    clicked, missed = told(tmp_path, chain(), script)
    assert clicked["selected"] == "image"
    assert clicked["details"].startswith("Placeholder")
    assert missed["selected"] == missed["details"] == ""


def test_five_thousand_nodes_begin_closed_and_open_where_the_search_goes(tmp_path):
    script = """
    const begun = performance.now(); await frame(); const first = seen();
    type("block_321/relu"); enter(); await frame(); const found = seen();
    press("opened"); await frame(); const opened = seen();
    press("closed"); await frame(); tell([first, found, opened, seen(), performance.now() - begun]);
    """
    facts = {**mobile_net(), "picture": large_picture(500)}
    first, found, opened, closed, milliseconds = told(tmp_path, facts, script)
    assert 3 < int(first["visible"]) <= 300
    assert found["selected"] == "tower_1/block_321/relu"
    assert int(opened["visible"]) == 5001 - 500
    assert closed["visible"] == "7"
    assert milliseconds < 20000


def test_a_click_on_a_heading_sorts_a_table(tmp_path):
    script = """
    const heading = [...document.querySelectorAll("h2")].find(one => one.textContent === "Operations");
    const table = heading.nextElementSibling.querySelector("table");
    const names = () => [...table.tBodies[0].rows].map(row => row.cells[0].innerText);
    const click = column => table.tHead.rows[0].cells[column].querySelector("button").click();
    const before = names(); click(1); const up = names(); click(0); tell([before, up, names()]);
    """
    before, up, by_name = told(tmp_path, chain(), script)
    assert before == ["Const", "BiasAdd", "Relu6", "Conv2D", "Placeholder"]
    assert up == before[::-1]
    assert by_name == sorted(before)


def test_what_a_model_names_itself_does_not_run(tmp_path):
    evil = "</script><script>window.ran = 1</script><img src=x onerror='window.ran = 2'>"
    facts = chain()
    facts["notes"] = [evil]
    facts["inputs"][0]["name"] = evil
    facts["operations"] = {evil: 1}
    facts["security"]["findings"][0]["severity"] = evil
    facts[evil] = [{evil: evil}]
    facts["picture"] = picture((evil, evil, evil), ("a/" + evil, "Const"), ("a/b", "Relu", "a/" + evil))
    script = """
    type("relu"); enter(); type("script"); enter(); await frame();
    tell([window.ran === undefined, document.querySelectorAll("img").length, seen().details]);
    """
    untouched, images, details = told(tmp_path, facts, script)
    assert untouched
    assert images == 0
    assert evil[:40] in details
