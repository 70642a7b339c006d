#!/usr/bin/env bash
# pytrec_eval-terrier 0.5.11: scores become float32, and items that are then equal are ordered by their ids as text.
#
# One would guess: a run {user: {item: score}} with different scores is judged in the order of those scores, which are
#   Python floats; so a baseline that recommends the newest, by Unix time, has the newest first.
# What happens: scores are kept as 32-bit floats. Seconds since 1970 are 128 apart there: all of two minutes are
#   equal, and so are predictions that differ in the eighth digit. Equal scores are ordered by item id as text, the
#   greatest first, whatever the order of the dictionary, so "9" comes before "10": what is reported is partly a
#   figure of the ids. Ranks put in the place of scores (-1, -2, ...) are judged in their order.
# Seen: pytrec_eval-terrier 0.5.11, numpy 2.4.6, Python 3.11, Linux x86-64: reciprocal rank 1/3 instead of 1 for the
#   newest of three items; among three equal scores 1 for "9" and 1/3 for "10".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pytrec_eval-terrier==0.5.11 numpy==2.4.6
cat > "$folder/newest.py" <<'PY'
import pytrec_eval


def rank(item, scores):
    evaluator = pytrec_eval.RelevanceEvaluator({"user": {item: 1}}, {"recip_rank"})
    return round(1 / evaluator.evaluate({"user": scores})["user"]["recip_rank"])


def ranks(scores):
    return {item: rank(item, scores) for item in scores}


def best_first(scores):
    return sorted(scores, key=scores.get, reverse=True)


newest = {"a": 1_700_000_060.0, "b": 1_700_000_030.0, "c": 1_700_000_001.0}
predicted = {"a": 4.00000003, "b": 4.00000002, "c": 4.00000001}
equal = {"10": 4.0, "9": 4.0, "2": 4.0}
for scores in (newest, predicted, equal):
    by_rank = {item: -float(place) for place, item in enumerate(best_first(scores))}
    print(scores, ranks(scores), ranks(by_rank))
    assert ranks(by_rank) == {item: place + 1 for place, item in enumerate(best_first(scores))}
assert ranks(newest) == ranks(predicted) == {"a": 3, "b": 2, "c": 1}
assert ranks(equal) == {"9": 1, "2": 2, "10": 3}
PY
"$folder/venv/bin/python" "$folder/newest.py"
echo "as described"
