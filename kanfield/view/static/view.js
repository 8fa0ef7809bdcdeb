// Panes of one view: each shows a layer of a run, all of them zoom and pan together.
"use strict";

const panes = [];
const box = document.getElementById("panes");
let known, moving = false, measured = 0, turns = 0;

function source(run, layer) {
  const { width, height } = known.runs[run], factor = 2 ** known.deeper;
  return {
    width: width * factor, height: height * factor, tileSize: known.side, tileOverlap: 0, minLevel: 0,
    maxLevel: Math.ceil(Math.log2(Math.max(width, height))) + known.deeper,
    getTileUrl: (level, x, y) => `squares/${run}/${layer}/${level}/${x}/${y}`,
  };
}

function choose(names, chosen, changed) {
  const select = document.createElement("select");
  for (const [value, name] of names) select.add(new Option(name, value, false, String(value) === String(chosen)));
  select.addEventListener("change", () => changed(select.value));
  return select;
}

function addPane(run, layer) {
  const element = document.createElement("section"), bar = document.createElement("div");
  const picture = document.createElement("div"), inner = document.createElement("div");
  const cursor = document.createElement("div"), note = document.createElement("span");
  element.className = "pane"; bar.className = "bar"; picture.className = "picture"; inner.className = "osd";
  cursor.className = "cursor"; note.className = "quiet";
  const close = document.createElement("button");
  close.textContent = "×"; close.title = "close this pane";
  picture.append(inner, cursor); element.append(bar, picture); box.append(element);
  const pane = { run, layer, element, cursor, note };
  const runs = choose(known.runs.map((each, i) => [i, each.name]), run, (value) => {
    pane.run = Number(value);
    if (!known.runs[pane.run].layers.includes(pane.layer)) pane.layer = "field";
    show();
  });
  let layers;
  function show() {
    const fresh = choose(known.runs[pane.run].layers.map((name) => [name, name]), pane.layer, (value) => {
      pane.layer = value; show();
    });
    fresh.title = known.runs[pane.run].note || "";
    if (layers) layers.replaceWith(fresh); else bar.append(fresh);
    layers = fresh;
    const wanted = isOpen(pane) ? stance(pane) : null;
    pane.viewer.addOnceHandler("open", () => {
      const open = panes.find((each) => each !== pane && isOpen(each)), now = open && stance(open);
      if (now || wanted) take(pane, now || wanted); else pane.viewer.viewport.goHome(true);
    });
    pane.viewer.open(source(pane.run, pane.layer));
    note.textContent = "";
  }
  pane.viewer = OpenSeadragon({
    element: inner, showNavigationControl: false, animationTime: 0.3, maxZoomPixelRatio: 1, minZoomImageRatio: 0.5,
    visibilityRatio: 0.2, imageSmoothingEnabled: false, crossOriginPolicy: false, timeout: 120000, drawer: "canvas",
    gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true }, blendTime: 0,
  });
  bar.append(runs); panes.push(pane); show(); bar.append(note, close);
  panes.forEach((each) => each.viewer.forceResize());
  close.addEventListener("click", () => {
    panes.splice(panes.indexOf(pane), 1); pane.viewer.destroy(); element.remove();
  });
  note.title = "PSNR of what is in view";
  pane.viewer.addHandler("viewport-change", () => moved(pane));
  inner.addEventListener("pointermove", (event) => point(pane, event));
  inner.addEventListener("pointerleave", () => panes.forEach((each) => { each.cursor.style.display = "none"; }));
}

// Centre and pixels of the screen across the picture: bounds would grow from pane to pane, since their shapes differ.
function stance(pane) {
  const viewport = pane.viewer.viewport, centre = viewport.getCenter();
  return { x: centre.x, y: centre.y, across: viewport.getZoom() * viewport.getContainerSize().x };
}

function take(pane, wanted) {
  const now = stance(pane), viewport = pane.viewer.viewport;
  const same = Math.abs(now.across / wanted.across - 1) < 1e-4
    && Math.hypot(now.x - wanted.x, now.y - wanted.y) * wanted.across < 0.5;
  if (same) return;
  viewport.zoomTo(wanted.across / viewport.getContainerSize().x, null, true);
  viewport.panTo(new OpenSeadragon.Point(wanted.x, wanted.y), true);
}

function isOpen(pane) { return pane.viewer.world.getItemCount() > 0; }

function moved(pane) {
  if (moving || !isOpen(pane)) return;
  moving = true;
  const wanted = stance(pane);
  for (const each of panes) if (each !== pane && isOpen(each)) take(each, wanted);
  moving = false;
  clearTimeout(measured);
  measured = setTimeout(measure, 250);
}

// What is in view, in pixels of the pane's image: the width of every picture is 1 to the viewer.
function inView(pane) {
  const bounds = pane.viewer.viewport.getBounds(), width = known.runs[pane.run].width;
  return [bounds.x, bounds.y, bounds.x + bounds.width, bounds.y + bounds.height].map((edge) => edge * width);
}

async function measure() {
  if (!panes.length) return;
  const turn = ++turns;
  const first = panes[0], [left, , right] = inView(first);
  const zoom = first.viewer.viewport.getContainerSize().x / (right - left);
  document.getElementById("where").textContent = `${zoom.toPrecision(3)} pixels of the screen a pixel`;
  for (const pane of panes.slice()) {
    if (turn !== turns) return;  // the view has moved on
    if (!panes.includes(pane)) continue;
    if (!["field", "error"].includes(pane.layer)) { pane.note.textContent = ""; continue; }
    const answer = await fetch(`psnr/${pane.run}?box=${inView(pane).join(",")}`);
    if (turn !== turns) return;
    const psnr = answer.ok ? (await answer.json()).psnr : null;
    pane.note.textContent = psnr === null ? "" : psnr === "exact" ? "exact" : `${psnr.toFixed(2)} dB`;
  }
}

function point(pane, event) {
  const frame = pane.element.querySelector(".picture").getBoundingClientRect();
  const at = pane.viewer.viewport.pointFromPixel(
    new OpenSeadragon.Point(event.clientX - frame.left, event.clientY - frame.top));
  for (const each of panes) {
    const here = each.viewer.viewport.pixelFromPoint(at);
    each.cursor.style.display = each === pane ? "none" : "block";
    each.cursor.style.left = `${here.x}px`; each.cursor.style.top = `${here.y}px`;
  }
}

function zoom(factor) {
  const first = panes[0];
  if (first) { first.viewer.viewport.zoomBy(factor); first.viewer.viewport.applyConstraints(); }
}

function whole() {
  if (panes.length) panes[0].viewer.viewport.goHome();
}

function onePixel() {
  const first = panes[0];
  if (first) first.viewer.viewport.zoomTo(known.runs[first.run].width / first.viewer.viewport.getContainerSize().x);
}

const keys = { "+": () => zoom(2), "-": () => zoom(0.5), "0": whole };
document.addEventListener("keydown", (event) => { if (keys[event.key]) keys[event.key](); });
document.getElementById("in").addEventListener("click", keys["+"]);
document.getElementById("out").addEventListener("click", keys["-"]);
document.getElementById("home").addEventListener("click", whole);
document.getElementById("pixels").addEventListener("click", onePixel);
document.getElementById("add").addEventListener("click", () => addPane(0, "field"));

fetch("runs.json").then((answer) => answer.json()).then((content) => {
  known = content;
  if (known.runs[0].layers.includes("image")) addPane(0, "image");
  known.runs.forEach((run, number) => addPane(number, "field"));
  panes[0].viewer.addOnceHandler("open", () => setTimeout(whole, 100));  // once all panes have their size
});
