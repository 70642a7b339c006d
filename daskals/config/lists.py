"""Options of what lists go by."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from daskals.config.section import Section


class ListConfig(Section):
    """What lists go by, and what of late counts in them."""

    order: Literal["affinity", "rating"] = Field(
        "affinity",
        description="What lists go by: what people would choose, learnt after the ratings, or the predicted "
        "rating, for which nothing more is learnt.",
    )
    popularity_half_life: float | None = Field(
        None,
        ge=0,
        description="Share of all ratings after which one counts half in how popular an item is, so that "
        "affinity follows what is chosen of late; 0: all count alike. Default: 0.03 where lists are for what "
        "comes next, with timestamps and no test part (jobs.retrain, --refit-all) or --split time; else 0.",
    )
    own_half_life: float | None = Field(
        None,
        ge=0,
        description="Share of all ratings after which a person's own rating counts half in their lists; 0: "
        "all count alike. Default: 0.25 where lists are for what comes next, as above, else 0; moved to what "
        "the latest tenth of training, with --split last everybody's, surely speaks for.",
    )
