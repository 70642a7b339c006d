"""The app's map of the items as a chart one can zoom."""

from __future__ import annotations

import altair as alt
import pandas as pd


def map_chart(frame: pd.DataFrame) -> alt.LayerChart:
    """Describe the map's chart."""
    hover = ["title", "genre", alt.Tooltip("n_ratings", title="ratings")]
    place = {"x": alt.X("x", axis=None), "y": alt.Y("y", axis=None)}
    genres = alt.Color(
        "genre",
        legend=alt.Legend(orient="bottom", columns=4, title=None),
        scale=alt.Scale(scheme="tableau10"),
    )
    sizes = alt.Size("n_ratings", scale=alt.Scale(range=[15, 220]), legend=None)
    points = alt.Chart(frame).mark_circle(opacity=0.65).encode(
        color=genres, size=sizes, tooltip=hover, **place
    )  # fmt: skip
    own = alt.Chart(frame[frame["mine"]])
    rings = own.mark_point(size=320, strokeWidth=3, color="#d6006c").encode(tooltip=hover, **place)
    names = own.mark_text(dy=-16, fontWeight="bold", fontSize=13, color="#d6006c").encode(
        text="title", **place
    )
    chart: alt.LayerChart = alt.layer(points, rings, names).properties(height=560).interactive()  # type: ignore[assignment]
    return chart
