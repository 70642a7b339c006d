"""Scatter map of items as one page: titles on hover, genres by choice, no other file, no network."""

from __future__ import annotations

import json
from pathlib import Path

from daskals.analysis.missing import Numbers
from daskals.plots.style import COLOURS, PALE
from daskals.ratings.shown_text import in_html

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_CSS = """
body { font: 15px/1.4 system-ui, sans-serif; color: #1d2329; margin: 1rem auto; max-width: 62rem;
  padding: 0 1rem }
h1 { font-size: 1.3rem } canvas { width: 100%; border: 1px solid #dde1e4; display: block }
#tip { position: fixed; background: #1d2329; color: #fff; padding: .3rem .5rem; border-radius: .25rem;
  pointer-events: none; display: none; max-width: 22rem }
label { margin-right: .9rem; white-space: nowrap } i { display: inline-block; width: .7em; height: .7em }
"""
_SCRIPT = """
const data = JSON.parse(document.getElementById("data").textContent);
const canvas = document.getElementById("map"), tip = document.getElementById("tip");
const chosen = new Map(data.highlighted.map((name, n) => [name, data.colours[n % data.colours.length]]));
const range = values => { const low = Math.min(...values), high = Math.max(...values),
  gap = 0.04 * (high - low) || 1; return [low - gap, high + gap]; };
const [left, right] = range(data.x), [low, high] = range(data.y);
let places = [];
function colour(n) {
  for (const [name, shade] of chosen) if (data.genres[n].includes(name)) return shade;
  return data.pale;
}
function draw() {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = Math.round(width * 0.68);
  canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = height + "px";
  const pen = canvas.getContext("2d"); pen.scale(ratio, ratio); pen.clearRect(0, 0, width, height);
  places = data.x.map((x, n) => [(x - left) / (right - left) * width,
    height - (data.y[n] - low) / (high - low) * height]);
  pen.strokeStyle = "#c9ced3"; pen.beginPath();
  const zeroX = -left / (right - left) * width, zeroY = height + low / (high - low) * height;
  pen.moveTo(zeroX, 0); pen.lineTo(zeroX, height); pen.moveTo(0, zeroY); pen.lineTo(width, zeroY);
  pen.stroke();
  const order = data.x.map((_, n) => n).sort((a, b) => (colour(b) === data.pale) - (colour(a) === data.pale));
  for (const n of order) { pen.fillStyle = colour(n); pen.beginPath();
    pen.arc(places[n][0], places[n][1], colour(n) === data.pale ? 2.5 : 3.5, 0, 7); pen.fill(); }
  pen.fillStyle = "#1d2329"; pen.font = "12px system-ui, sans-serif";
  for (const n of data.labelled) pen.fillText(data.titles[n], places[n][0] + 5, places[n][1] - 4);
}
canvas.addEventListener("mousemove", event => {
  const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
  let best = -1, nearest = 100;
  places.forEach(([a, b], n) => { const d = (a - x) ** 2 + (b - y) ** 2;
    if (d < nearest) { nearest = d; best = n; } });
  tip.style.display = best < 0 ? "none" : "block";
  if (best < 0) return;
  tip.textContent = data.titles[best] + " · " + data.counts[best].toLocaleString("en") + " ratings"
    + (data.genres[best].length ? " · " + data.genres[best].join(", ") : "");
  tip.style.left = Math.min(event.clientX + 12, window.innerWidth - 260) + "px";
  tip.style.top = event.clientY + 14 + "px";
});
canvas.addEventListener("mouseleave", () => { tip.style.display = "none"; });
const bar = document.getElementById("genres");
[...new Set(data.genres.flat())].sort().forEach(name => {
  const label = document.createElement("label"), box = document.createElement("input"),
    mark = document.createElement("i");
  box.type = "checkbox"; box.checked = chosen.has(name);
  const shade = () => { mark.style.background = chosen.get(name) || "transparent"; };
  box.addEventListener("change", () => {
    if (box.checked) { const used = new Set(chosen.values());
      chosen.set(name, data.colours.find(one => !used.has(one)) || data.colours[0]); }
    else chosen.delete(name);
    shade(); draw();
  });
  shade(); label.append(box, " ", mark, " ", name); bar.append(label);
});
window.addEventListener("resize", draw); draw();
"""


def write_scatter_page(path: Path, title: str, points: Numbers) -> None:
    """Write the interactive map of `daskals.analysis.geometry.describe_geometry`."""
    across, up = points["axes"]
    data = {**points, "colours": COLOURS, "pale": PALE}
    path.write_text(
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"<title>{in_html(title)}</title><style>{_CSS}</style></head>\n"
        f"<body><h1>{in_html(title)}</h1><p>Across: {in_html(across)}. Up: {in_html(up)}. "
        "Point at a dot to read its title; choose genres to colour them.</p>\n"
        '<canvas id="map"></canvas><p id="genres"></p><div id="tip"></div>\n'
        f'<script type="application/json" id="data">{script_json(data)}</script>\n'
        f"<script>{_SCRIPT}</script></body></html>\n",
        encoding="utf-8",
    )


def script_json(data: object) -> str:
    """Return JSON that can stand in a script element: nothing in it can end the element or begin another."""
    text = json.dumps(data, allow_nan=False)  # ASCII, so that no character needs more than JSON's own escapes
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text
