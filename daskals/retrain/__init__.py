"""The nightly retrain: take in, validate, train from where the champion is, judge, publish, tell."""
