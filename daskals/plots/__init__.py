"""Figures and pages drawn from the numbers of `daskals.analysis`; the only room that knows matplotlib."""
