#!/usr/bin/env bash
# lenskit 0.14.4: NDCG does not tell the first place of a list from the second.
#
# One would guess: ndcg discounts the place r by log2(r + 1), as trec_eval and implicit do, so a relevant item in the
#   second place is worth 0.63 of one in the first.
# What happens: the discount is log2(r), but at least 1, as in the measure's first paper: the first two places count
#   1, the third 0.63. With one held-out item the figure is up to 1.6 times the other, for the same lists, and
#   rerankers that move items between the first two places change nothing. By its source LensKit 2025.8.1 has the same
#   discount unless one gives NDCG(weight=LogRankWeight(offset=1)).
# Seen: lenskit 0.14.4, pytrec_eval-terrier 0.5.11, numpy 1.26.4, pandas 3.0.6, Python 3.11, Linux x86-64: one
#   relevant item in place 1, 2, 3, 4, 10: 1, 1, .631, .5, .301; trec_eval 1, .631, .5, .431, .289.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check numpy==1.26.4 pandas==3.0.6 pytrec_eval-terrier==0.5.11
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps lenskit==0.14.4  # its metrics need no more
cat > "$folder/places.py" <<'PY'
import math

import pandas as pd
import pytrec_eval
from lenskit.metrics import topn

PLACES = (1, 2, 3, 4, 10)

items = pd.DataFrame({"item": range(1, 11), "score": range(10, 0, -1)})
run = {"user": {str(item): float(-item) for item in range(1, 11)}}
of_lenskit = [topn.ndcg(items, pd.DataFrame({"item": [place]}).set_index("item")) for place in PLACES]
judges = [pytrec_eval.RelevanceEvaluator({"user": {str(place): 1}}, {"ndcg"}) for place in PLACES]
of_trec = [judge.evaluate(run)["user"]["ndcg"] for judge in judges]
print([round(value, 3) for value in of_lenskit], [round(value, 3) for value in of_trec])
for place, one, other in zip(PLACES, of_lenskit, of_trec):
    assert math.isclose(one, 1 / max(math.log2(place), 1))
    assert math.isclose(other, 1 / math.log2(place + 1))
PY
"$folder/venv/bin/python" -W ignore "$folder/places.py"
echo "as described"
