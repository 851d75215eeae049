"use strict";
// The picture of a graph: layered from top to bottom, on a canvas that a person can zoom, pan and search.
//
// Names with slashes are scopes: a large graph begins with its scopes closed. Constants and variables are not drawn as nodes;
// they stand in the nodes that read them. The layers are those of the longest path, the order in a layer is by barycentres
// (Sugiyama, Tagawa, Toda 1981), and places within a layer are the least squares under minimal distances (isotonic
// regression by pooling adjacent violators).
(() => {
  const source = document.getElementById("picture");
  if (!source) return;
  const model = JSON.parse(source.textContent);
  const canvas = document.getElementById("graph"), pen = canvas.getContext("2d");
  const found = document.getElementById("found"), search = document.getElementById("search");
  const details = document.getElementById("details");

  const MOST_AT_FIRST = 300, MOST_BENDS = 20000, HEIGHT = 46, GAP_X = 18, GAP_Y = 34, BAND = 2400;
  const COLOURS = [
    [/conv|matmul|dense|einsum|lstm|gru|rnn|fully_?connected/i, "#cfe2f7"],
    [/relu|sigmoid|tanh|softmax|elu|swish|activation|logistic/i, "#f9d4cf"],
    [/pool/i, "#d3efd6"],
    [/norm/i, "#e4dbf5"],
    [/placeholder|input|argument/i, "#fff0c2"],
    [/reshape|transpose|squeeze|concat|pad|slice|split|gather|expand|pack|stack|flatten/i, "#eee3d3"],
  ];
  const OTHER = "#eef1f4", GROUP = "#dfe6ec";

  // Nodes and scopes

  const nodes = model.nodes.map((node, index) => ({
    index, name: node.n, op: node.o, inputs: node.i || [], controls: node.c || [], shape: node.s || "", dtype: node.d || "",
    within: node.w || "", calls: node.f || [], readers: [], weights: [], folded: false,
    path: node.w ? node.w + "/" + node.n : node.n,
  }));
  for (const node of nodes) for (const input of node.inputs) nodes[input].readers.push(node.index);
  const ends = new Set(model.ends);
  const WEIGHTS = /^(Const|VarHandleOp|Variable(V2)?)$/, PASSING = /^(Identity|ReadVariableOp)$/;
  const foldable = node => node.readers.length > 0 && !ends.has(node.index);
  const weights = nodes.filter(node => WEIGHTS.test(node.op) && foldable(node));
  for (const node of weights) {  // grows while it is walked, by what hands a weight on
    node.folded = true;
    for (const reader of node.readers.map(index => nodes[index]))
      if (PASSING.test(reader.op) && reader.inputs.length === 1 && foldable(reader)) {
        reader.shape = reader.shape || node.shape;
        weights.push(reader);
      }
  }
  for (const node of nodes) {
    if (node.folded) continue;
    for (const input of node.inputs) if (nodes[input].folded) node.weights.push(input);
  }
  const drawn = nodes.filter(node => !node.folded);

  const groups = new Map();  // by path, with the slash
  for (const node of drawn) {
    node.scopes = [];
    for (let slash = node.path.indexOf("/"); slash > 0; slash = node.path.indexOf("/", slash + 1)) {
      const path = node.path.slice(0, slash + 1);
      if (!groups.has(path)) groups.set(path, {path, members: [], open: true});
      groups.get(path).members.push(node);
      node.scopes.push(path);
    }
  }
  for (const [path, group] of groups) if (group.members.length < 2) groups.delete(path);
  for (const node of drawn) node.scopes = node.scopes.filter(path => groups.has(path));
  openAtFirst();

  function openAtFirst() {
    if (drawn.length <= MOST_AT_FIRST) return;
    for (const group of groups.values()) group.open = false;
    let shown = new Set(drawn.map(node => node.scopes[0] || "node " + node.index)).size;
    const bySize = [...groups.values()].sort((a, b) => a.path.split("/").length - b.path.split("/").length
      || a.members.length - b.members.length);
    for (const group of bySize) {
      const depth = group.members[0].scopes.indexOf(group.path);
      if (group.path.startsWith("function ") || !group.members[0].scopes.slice(0, depth).every(path => groups.get(path).open))
        continue;
      const inside = new Set(group.members.map(node => node.scopes[depth + 1] || "node " + node.index)).size;
      if (shown + inside - 1 > MOST_AT_FIRST) continue;
      group.open = true;
      shown += inside - 1;
    }
  }

  // What is visible, and where

  let items = [], lines = [], itemOf = new Map(), selected = null, matches = [], current = -1, matching = new Set();

  function arrange() {
    const byKey = new Map();
    itemOf = new Map();
    for (const node of drawn) {
      const closed = node.scopes.find(path => !groups.get(path).open);
      const key = closed || "node " + node.index;
      if (!byKey.has(key)) byKey.set(key, closed ? groupItem(groups.get(closed)) : nodeItem(node));
      itemOf.set(node.index, byKey.get(key));
    }
    items = [...byKey.values()];
    items.forEach((item, index) => { item.index = index; item.before = new Set(); item.after = new Set(); item.waits = new Set(); });
    for (const node of drawn) {
      const to = itemOf.get(node.index);
      for (const input of node.inputs) {
        const from = itemOf.get(input);
        if (from && from !== to) { to.before.add(from); from.after.add(to); }
      }
      for (const input of node.controls) {
        const from = itemOf.get(input);
        if (from && from !== to && !to.before.has(from)) to.waits.add(from);
      }
    }
    const joined = items.filter(item => item.before.size || item.after.size);
    const alone = items.filter(item => !item.before.size && !item.after.size);
    const bottom = layOut(joined);
    placeAlone(alone, bottom);
    canvas.dataset.visible = items.length;
  }

  /** Both ends of a text that is too long for a node: what tells it from others is at either. */
  function brief(text) {
    return text.length <= 32 ? text : text.slice(0, 15) + "\u2026" + text.slice(-16);
  }

  function nodeItem(node) {
    const leaf = brief(node.name.split("/").pop());
    const chips = node.weights.map(index => nodes[index].shape || "?").slice(0, 2).join("  ");
    return {node, title: brief(node.op), label: leaf, chips, width: widthOf([node.op, leaf, chips]), colour: colourOf(node.op)};
  }

  function groupItem(group) {
    const name = brief(group.path.slice(0, -1).split("/").pop());
    const label = group.members.length + " nodes";
    return {group, title: name, label, chips: "", width: widthOf([name, label, ""]), colour: GROUP};
  }

  function widthOf(texts) {
    return Math.min(Math.max(70, ...texts.map(text => text.length * 6.4 + 16)), 210);
  }

  function colourOf(op) {
    const known = COLOURS.find(([pattern]) => pattern.test(op));
    return known ? known[1] : OTHER;
  }

  function layOut(joined) {
    const forward = withoutCycles(joined);
    rank(joined, forward);
    const layers = [];
    lines = [];
    let bends = 0;
    for (const item of joined) (layers[item.layer] = layers[item.layer] || []).push(item);
    for (let layer = 0; layer < layers.length; layer++) layers[layer] = layers[layer] || [];
    for (const item of joined) { item.up = []; item.down = []; }
    for (const item of joined) for (const other of item.after) {
      const [top, low] = item.layer <= other.layer ? [item, other] : [other, item];
      const through = [];
      let last = top;
      if (bends < MOST_BENDS) for (let layer = top.layer + 1; layer < low.layer; layer++, bends++) {
        const bend = {bend: true, width: 4, layer, up: [last], down: []};
        last.down.push(bend);
        layers[layer].push(bend);
        through.push(bend);
        last = bend;
      }
      last.down.push(low);
      low.up.push(last);
      lines.push({from: item, to: other, through: item === top ? through : through.reverse()});
    }
    for (const item of items) for (const other of item.waits) lines.push({from: other, to: item, through: [], waits: true});
    order(layers);
    place(layers);
    layers.forEach((layer, depth) => { for (const item of layer) item.y = depth * (HEIGHT + GAP_Y); });
    return layers.length * (HEIGHT + GAP_Y);
  }

  /** The edges that lead downwards: those that close a cycle, as loops do, are left out. */
  function withoutCycles(joined) {
    const state = new Map(), forward = new Map(joined.map(item => [item, []]));
    for (const root of joined) {
      if (state.has(root)) continue;
      const stack = [[root, [...root.after]]];
      state.set(root, 1);
      while (stack.length) {
        const [item, left] = stack[stack.length - 1];
        if (!left.length) { state.set(item, 2); stack.pop(); continue; }
        const next = left.shift();
        if (state.get(next) === 1) continue;
        forward.get(item).push(next);
        if (!state.has(next)) { state.set(next, 1); stack.push([next, [...next.after]]); }
      }
    }
    return forward;
  }

  function rank(joined, forward) {
    const waiting = new Map(joined.map(item => [item, 0]));
    for (const targets of forward.values()) for (const target of targets) waiting.set(target, waiting.get(target) + 1);
    const ready = joined.filter(item => !waiting.get(item)), sorted = [];
    for (const item of joined) item.layer = 0;
    while (ready.length) {
      const item = ready.pop();
      sorted.push(item);
      for (const target of forward.get(item)) {
        target.layer = Math.max(target.layer, item.layer + 1);
        waiting.set(target, waiting.get(target) - 1);
        if (!waiting.get(target)) ready.push(target);
      }
    }
    for (const item of sorted.reverse()) {  // what begins late stands right above what reads it
      const below = forward.get(item).map(target => target.layer);
      if (!item.before.size && below.length) item.layer = Math.min(...below) - 1;
    }
  }

  function order(layers) {
    const set = layer => layer.forEach((item, index) => { item.at = index; });
    layers.forEach(set);
    const sweeps = items.length > 1500 ? 4 : 10;
    for (let sweep = 0; sweep < sweeps; sweep++) {
      const down = sweep % 2 === 0, side = down ? "up" : "down";
      for (const layer of down ? layers : [...layers].reverse()) {
        for (const item of layer) {
          const near = item[side];
          item.wish = near.length ? near.reduce((sum, other) => sum + other.at, 0) / near.length : item.at;
        }
        layer.sort((a, b) => a.wish - b.wish || a.at - b.at);
        set(layer);
      }
    }
  }

  function place(layers) {
    for (const layer of layers) spread(layer, () => 0);
    for (let sweep = 0; sweep < 8; sweep++) {
      const down = sweep % 2 === 0;
      for (const layer of down ? layers : [...layers].reverse()) spread(layer, item => {
        const near = sweep > 5 ? [...item.up, ...item.down] : down ? item.up : item.down;
        return near.length ? near.reduce((sum, other) => sum + other.x, 0) / near.length : item.x;
      });
    }
  }

  /** Puts the items of a layer as near to where they wish to be as their widths and their order allow. */
  function spread(layer, wish) {
    let offset = 0;
    const blocks = [];
    layer.forEach((item, index) => {
      if (index) offset += (layer[index - 1].width + item.width) / 2 + GAP_X;
      item.offset = offset;
      blocks.push({sum: wish(item) - offset, count: 1});
      while (blocks.length > 1) {
        const last = blocks[blocks.length - 1], before = blocks[blocks.length - 2];
        if (before.sum / before.count <= last.sum / last.count) break;
        before.sum += last.sum;
        before.count += last.count;
        blocks.pop();
      }
    });
    let index = 0;
    for (const block of blocks) for (let i = 0; i < block.count; i++, index++) layer[index].x = block.sum / block.count + layer[index].offset;
  }

  /** What is joined to nothing, such as functions, stands in rows below. */
  function placeAlone(alone, top) {
    let x = 0, y = top + (top ? GAP_Y : 0);
    for (const item of alone) {
      item.up = item.down = [];
      if (x > BAND) { x = 0; y += HEIGHT + GAP_Y; }
      item.x = x + item.width / 2 - BAND / 2;
      item.y = y;
      x += item.width + GAP_X;
    }
  }

  // Drawing

  const view = {scale: 1, x: 0, y: 0};
  let waiting = false;

  function redraw() {
    canvas.dataset.scale = view.scale.toFixed(4);
    canvas.dataset.x = view.x.toFixed(1);
    canvas.dataset.y = view.y.toFixed(1);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  }

  function draw() {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== width * ratio || canvas.height !== height * ratio) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
    }
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.translate(view.x, view.y);
    pen.scale(view.scale, view.scale);
    const left = -view.x / view.scale, top = -view.y / view.scale;
    const right = left + width / view.scale, bottom = top + height / view.scale;
    pen.lineWidth = Math.max(1, 0.6 / view.scale);
    for (const line of lines) {
      const low = Math.min(line.from.y, line.to.y), high = Math.max(line.from.y, line.to.y) + HEIGHT;
      if (high >= top && low <= bottom) drawLine(line);
    }
    pen.textAlign = "center";
    for (const item of items) {
      if (item.y + HEIGHT < top || item.y > bottom || item.x + item.width / 2 < left || item.x - item.width / 2 > right) continue;
      drawItem(item);
    }
  }

  function drawLine(line) {
    const near = selected && (line.from === selected || line.to === selected);
    pen.strokeStyle = near ? "#1d5fa8" : line.waits ? "#d9c7a8" : "#b3bec9";
    pen.setLineDash(line.waits ? [4, 4] : []);
    pen.beginPath();
    const rises = line.to.y < line.from.y;  // as the edges that close a loop do
    let x = line.from.x, y = line.from.y + (rises ? 0 : HEIGHT);
    pen.moveTo(x, y);
    for (const stop of [...line.through, line.to]) {
      const enters = stop.y + (rises ? HEIGHT : 0), middle = (y + enters) / 2;
      pen.bezierCurveTo(x, middle, stop.x, middle, stop.x, enters);
      x = stop.x;
      y = stop.bend ? stop.y + (rises ? 0 : HEIGHT) : enters;
      if (stop.bend) pen.lineTo(x, y);
    }
    pen.stroke();
    pen.setLineDash([]);
  }

  function drawItem(item) {
    const left = item.x - item.width / 2, found = matching.has(item);
    pen.fillStyle = found ? "#ffe45c" : item.colour;
    pen.strokeStyle = item === selected ? "#1d5fa8" : item.group ? "#8495a5" : "#aab6c2";
    const width = pen.lineWidth;
    if (item === selected) pen.lineWidth = 3 * width;
    pen.beginPath();
    pen.roundRect(left, item.y, item.width, HEIGHT, item.group ? 3 : 8);
    pen.fill();
    pen.stroke();
    pen.lineWidth = width;
    if (view.scale < 0.3) return;
    pen.fillStyle = "#1d2733";
    pen.font = "600 11px system-ui, sans-serif";
    pen.fillText(item.title, item.x, item.y + 15, item.width - 8);
    pen.font = "10px system-ui, sans-serif";
    pen.fillText(item.label, item.x, item.y + 28, item.width - 8);
    pen.fillStyle = "#5b6875";
    if (item.chips) pen.fillText(item.chips, item.x, item.y + 41, item.width - 8);
  }

  // Moving

  function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
    const scale = Math.min(Math.max(view.scale * factor, 0.01), 6), ratio = scale / view.scale;
    view.x = x - (x - view.x) * ratio;
    view.y = y - (y - view.y) * ratio;
    view.scale = scale;
    redraw();
  }

  function fit() {
    if (!items.length) return;
    let left = Infinity, right = -Infinity, bottom = -Infinity;
    for (const item of items) {
      left = Math.min(left, item.x - item.width / 2);
      right = Math.max(right, item.x + item.width / 2);
      bottom = Math.max(bottom, item.y + HEIGHT);
    }
    const width = canvas.clientWidth, height = canvas.clientHeight;
    view.scale = Math.min(Math.max(Math.min((width - 40) / (right - left), (height - 40) / bottom), 0.01), 1.5);
    view.x = width / 2 - (left + right) / 2 * view.scale;
    view.y = Math.max(20, height / 2 - bottom / 2 * view.scale);
    redraw();
  }

  /** From the model's first input, at a size that can be read. */
  function begin() {
    fit();
    if (view.scale >= 0.5) return;
    const first = itemOf.get(model.ends[0]) || items[0];
    view.scale = 0.8;
    view.x = canvas.clientWidth / 2 - first.x * view.scale;
    view.y = 20 - first.y * view.scale;
  }

  function centre(item) {
    view.scale = Math.max(view.scale, 0.7);
    view.x = canvas.clientWidth / 2 - item.x * view.scale;
    view.y = canvas.clientHeight / 2 - (item.y + HEIGHT / 2) * view.scale;
    redraw();
  }

  let held = null, moved = false;
  canvas.addEventListener("wheel", event => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
  }, {passive: false});
  canvas.addEventListener("pointerdown", event => {
    held = {x: event.clientX - view.x, y: event.clientY - view.y, fromX: event.clientX, fromY: event.clientY};
    moved = false;
    try { canvas.setPointerCapture(event.pointerId); } catch (error) { void error; }  // a pointer that is gone already
  });
  canvas.addEventListener("pointermove", event => {
    if (!held) return;
    if (Math.hypot(event.clientX - held.fromX, event.clientY - held.fromY) > 4) moved = true;
    if (!moved) return;
    view.x = event.clientX - held.x;
    view.y = event.clientY - held.y;
    redraw();
  });
  canvas.addEventListener("pointerup", event => {
    if (held && !moved) select(itemAt(event.offsetX, event.offsetY));
    held = null;
  });
  canvas.addEventListener("dblclick", event => {
    const item = itemAt(event.offsetX, event.offsetY);
    if (item && item.group) toggle(item.group.path, true);
  });
  canvas.addEventListener("keydown", event => {
    const steps = {ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60]}[event.key];
    if (steps) { view.x += steps[0]; view.y += steps[1]; redraw(); }
    else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
  document.getElementById("larger").addEventListener("click", () => zoom(1.3));
  document.getElementById("smaller").addEventListener("click", () => zoom(1 / 1.3));
  document.getElementById("whole").addEventListener("click", fit);
  document.getElementById("opened").addEventListener("click", () => setAll(true));
  document.getElementById("closed").addEventListener("click", () => setAll(false));
  new ResizeObserver(redraw).observe(canvas);

  function itemAt(x, y) {
    const atX = (x - view.x) / view.scale, atY = (y - view.y) / view.scale;
    return items.find(item => Math.abs(atX - item.x) <= item.width / 2 && atY >= item.y && atY <= item.y + HEIGHT) || null;
  }

  function setAll(open) {
    for (const group of groups.values()) group.open = open;
    rearrange();
    begin();
    redraw();
  }

  /** Opens or closes a scope, and keeps in view what was looked at. */
  function toggle(path, open) {
    const group = groups.get(path);
    group.open = open;
    rearrange();
    const item = itemOf.get(group.members[0].index);
    select(item);
    centre(item);
  }

  function rearrange() {
    arrange();
    selected = null;
    mark();
  }

  // Details

  function select(item) {
    selected = item;
    canvas.dataset.selected = item ? (item.node ? item.node.path : item.group.path) : "";
    details.replaceChildren(...(item ? (item.node ? nodeDetails(item.node) : groupDetails(item.group)) : []));
    redraw();
  }

  function element(tag, text, ...children) {
    const made = document.createElement(tag);
    if (text) made.textContent = text;
    made.append(...children);
    return made;
  }

  function button(text, act) {
    const made = element("button", text);
    made.type = "button";
    made.addEventListener("click", act);
    return made;
  }

  function nodeDetails(node) {
    const weightEntries = node.weights.map(index => element("li", `${nodes[index].name} ${nodes[index].dtype} ${nodes[index].shape}`));
    const calls = node.calls.flatMap(name => ["function " + name + "/", name + "/"]).filter(path => groups.has(path))
      .map(path => element("li", "", button(path.slice(0, -1), () => show(groups.get(path).members[0]))));
    return [
      element("h3", node.op), element("p", node.name),
      ...(node.within ? [element("p", "in " + node.within)] : []),
      ...(node.shape || node.dtype ? [element("p", `${node.dtype} ${node.shape}`)] : []),
      ...listed("reads", links(node.inputs.filter(index => !nodes[index].folded))),
      ...listed("weights", weightEntries),
      ...listed("waits for", links(node.controls)),
      ...listed("read by", links(node.readers)),
      ...listed("calls", calls),
      ...listed("scopes", node.scopes.map(path => element("li", "", button("close " + path, () => toggle(path, false))))),
    ];
  }

  function groupDetails(group) {
    const counts = new Map();
    for (const node of group.members) counts.set(node.op, (counts.get(node.op) || 0) + 1);
    const ops = [...counts].sort((a, b) => b[1] - a[1]).map(([op, count]) => element("li", `${op} ${count}`));
    return [
      element("h3", group.path), element("p", group.members.length + " nodes"),
      button("open", () => toggle(group.path, true)), ...listed("operations", ops),
    ];
  }

  function listed(title, entries) {
    return entries.length ? [element("h4", title), element("ul", "", ...entries.slice(0, 60)),
      ...(entries.length > 60 ? [element("p", `and ${entries.length - 60} more`)] : [])] : [];
  }

  function links(indices) {
    return [...new Set(indices)].map(index => element("li", "", button(`${nodes[index].name} (${nodes[index].op})`, () => show(nodes[index]))));
  }

  /** Brings a node into view, opening what it lies in. */
  function show(node) {
    if (node.folded) {
      const reader = node.readers.map(index => nodes[index]).find(one => !one.folded) || nodes[nodes[node.readers[0]].readers[0]];
      if (reader && !reader.folded) show(reader);
      return;
    }
    const closed = node.scopes.filter(path => !groups.get(path).open);
    for (const path of closed) groups.get(path).open = true;
    if (closed.length) rearrange();
    const item = itemOf.get(node.index);
    select(item);
    centre(item);
  }

  // Search

  function look() {
    const wanted = search.value.trim().toLowerCase();
    matches = wanted ? nodes.filter(node => node.path.toLowerCase().includes(wanted) || node.op.toLowerCase().includes(wanted)) : [];
    current = -1;
    mark();
    found.textContent = wanted ? (matches.length ? `${matches.length} found; Enter goes to the first` : "nothing found") : "";
    redraw();
  }

  function mark() {
    matching = new Set(matches.map(node => itemOf.get(node.index)).filter(item => item));
    canvas.dataset.marked = matching.size;
  }

  function step(by) {
    if (!matches.length) return;
    current = (current + by + matches.length) % matches.length;
    show(matches[current]);
    found.textContent = `${current + 1} of ${matches.length}: ${matches[current].path}`;
  }

  search.addEventListener("input", look);
  search.addEventListener("keydown", event => {
    if (event.key === "Enter") { event.preventDefault(); step(event.shiftKey ? -1 : 1); }
  });

  arrange();
  begin();
  draw();
  redraw();
  if (search.value) look();
})();
