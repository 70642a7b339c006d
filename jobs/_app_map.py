"""The app's map of the items as a chart one can zoom."""

from __future__ import annotations

import altair as alt
import pandas as pd

OWN = "#d6006c"


def map_chart(frame: pd.DataFrame, counted_as: str) -> alt.LayerChart:
    """Describe the map's chart; `counted_as`: what an item's number counts."""
    hover = ["title", "genre", alt.Tooltip("n_ratings", title=counted_as)]
    # the plane that labels were placed on ends with the outermost points
    ends = alt.Scale(zero=False, nice=False, padding=12)
    place = {"x": alt.X("x", axis=None, scale=ends), "y": alt.Y("y", axis=None, scale=ends)}
    genres = alt.Color(
        "genre",
        legend=alt.Legend(orient="bottom", columns=4, title=None),
        scale=alt.Scale(scheme="tableau10"),
    )
    sizes = alt.Size("n_ratings", scale=alt.Scale(range=[15, 220]), legend=None)
    points = alt.Chart(frame).mark_circle(opacity=0.5).encode(
        color=genres, size=sizes, tooltip=hover, **place
    )  # fmt: skip
    own = alt.Chart(frame[frame["mine"]])
    rings = own.mark_point(size=320, strokeWidth=3, color=OWN).encode(tooltip=hover, **place)
    named = alt.Chart(frame[frame["label"] != ""])
    names = named.mark_text(dy=-13, fontSize=11, fontWeight=600).encode(
        text="label",
        color=alt.condition("datum.mine", alt.value(OWN), alt.value("#8a8f98")),
        tooltip=hover,
        **place,
    )
    chart: alt.LayerChart = alt.layer(points, rings, names).properties(height=560).interactive()  # type: ignore[assignment]
    return chart
