"""Word cloud of tags (paper 2, Fig. 4), drawn as outlines so that it stays sharp at any size."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from daskals.plots.style import COLOURS, plain

_WIDTH, _HEIGHT = 1000, 520
_MARGIN = 5  # letters of an outline lie up to two pixels from those that the cloud measured
_FONT = f"{mpl.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


def draw_tags(tags: list[str], counts: list[int]) -> Figure:
    """Place tags by how often they were given; the same picture for the same counts."""
    from wordcloud import WordCloud

    words: dict[str, int] = {}
    for tag, count in zip(tags, counts, strict=True):
        words.setdefault(plain(tag, 28), count)
    cloud = WordCloud(
        width=_WIDTH,
        height=_HEIGHT,
        margin=_MARGIN,
        font_path=_FONT,
        prefer_horizontal=1.0,
        random_state=1,
        max_words=120,
    ).generate_from_frequencies(words)
    figure = Figure(figsize=(8, 8 * _HEIGHT / _WIDTH + 0.4), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, _WIDTH), ylim=(_HEIGHT, 0), aspect="equal")
    axes.axis("off")
    for place, ((word, _), size, (top, left), *_rest) in enumerate(cloud.layout_):
        axes.add_patch(_outline(word, size, left, top, COLOURS[place % len(COLOURS)]))
    axes.set_title("Tags that users gave, larger where given more often")
    return figure


def _outline(word: str, size: int, left: int, top: int, colour: str) -> Any:
    # the cloud placed the pen from the left and the ink from above
    text = word.replace("\\$", "$")
    path = TextPath((0, 0), text, size=size, prop=FontProperties(fname=_FONT), usetex=False)
    upright = Affine2D().scale(1, -1).translate(left, top + path.get_extents().y1)
    return PathPatch(path.transformed(upright), facecolor=colour, edgecolor="none")
