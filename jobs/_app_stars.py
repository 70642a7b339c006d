"""Five stars that take halves, by mouse, finger or arrow keys: Streamlit's own take whole ones only."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

RATED = "rated"
"""The component's trigger: the stars that were given, 0 to take them back."""

_HTML = '<div class="stars" role="slider" tabindex="0"><i>★★★★★</i><b>★★★★★</b></div>'

_CSS = """
.stars {position: relative; display: inline-block; font-size: 1.6rem; line-height: 1.15; cursor: pointer;
  white-space: nowrap; user-select: none; touch-action: manipulation; letter-spacing: .06em}
.stars i, .stars b {font-style: normal; font-weight: normal}
.stars i {color: color-mix(in srgb, var(--st-text-color) 22%, transparent)}
.stars b {position: absolute; left: 0; top: 0; overflow: hidden; color: #e8a317}
.stars:focus-visible {outline: 2px solid var(--st-primary-color); outline-offset: 2px; border-radius: 4px}
"""

_JS = """
export default function ({ parentElement, data, setTriggerValue }) {
  const box = parentElement.querySelector(".stars"), lit = box.querySelector("b");
  const { stars, step, label } = data;
  let pending = null, timer = null;
  const show = (n) => {
    lit.style.width = 20 * n + "%";
    box.setAttribute("aria-valuenow", n);
    box.setAttribute("aria-valuetext", n ? n + " of 5 stars" : "not rated");
  };
  const at = (event) => {
    const frame = box.getBoundingClientRect();
    const part = (event.clientX - frame.left) / frame.width;
    return Math.min(5, Math.max(step, Math.ceil((5 * part) / step) * step));
  };
  const give = (n) => { show(n); setTriggerValue("rated", n); };
  box.setAttribute("aria-label", label);
  box.setAttribute("aria-valuemin", 0);
  box.setAttribute("aria-valuemax", 5);
  show(stars);
  box.onpointermove = (event) => { if (event.pointerType === "mouse") show(at(event)); };
  box.onpointerleave = () => { if (pending === null) show(stars); };
  box.onclick = (event) => give(at(event) === stars ? 0 : at(event));
  box.onkeydown = (event) => {
    const up = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step }[event.key];
    const cleared = event.key === "Delete" || event.key === "Backspace";
    if (up === undefined && !cleared) return;
    event.preventDefault();
    const now = pending === null ? stars : pending;
    pending = cleared ? 0 : Math.min(5, Math.max(0, now + up));
    show(pending);
    clearTimeout(timer);
    timer = setTimeout(() => give(pending), 600);
  };
  return () => clearTimeout(timer);
}
"""

_mount = st.components.v2.component("daskals.stars", html=_HTML, css=_CSS, js=_JS)


def draw_stars(key: str, label: str, stars: float, step: float, on_rated: Callable[[], None]) -> None:
    """Draw stars under a key; `on_rated` is called when others were given, which `given_stars` tells.

    `label` is what is rated, `stars` what it has, 0 for nothing, in steps of `step`.
    """
    data = {"stars": stars, "step": step, "label": label}
    _mount(key=key, data=data, width="content", on_rated_change=on_rated)


def given_stars(key: str) -> float:
    """Return the stars that were given under a key, 0 where they were taken back."""
    return float(st.session_state[key][RATED] or 0)
