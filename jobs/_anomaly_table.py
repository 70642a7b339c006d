"""The tables of a study of anomalies, as Markdown on a terminal."""

from __future__ import annotations

from typing import Any

from jobs._terminal import say

METHOD = "method"
RATES = ("attackers in a group", "others in a group", "merged flagged", "drifting flagged", "others flagged")


def print_study(result: dict[str, Any]) -> None:
    """Print AUCs beside their baselines, the shares that were flagged, and the false alarms."""
    say("| injected | rounds | AUC | lowest | baselines | flagged |\n|---|--:|--:|--:|---|---|")
    parts = {f"shilling, {kind}": one for kind, one in result["shilling"].items()}
    parts |= {"merged accounts": result["shared"], "drifting items": result["drift"]}
    for name, one in parts.items():
        if "missing" in one:
            say(f"| {name} | | | | {one['missing']} | |")
            continue
        kept = {
            key: value
            for key, value in one.items()
            if key not in (METHOD, "rounds", "lowest", "areas", *RATES)
        }
        baselines = ", ".join(f"{key} {value:.3f}" for key, value in kept.items())
        flagged = ", ".join(f"{key} {100 * one[key]:.2f} %" for key in RATES if key in one)
        figures = f"{one['rounds']} | {one[METHOD]:.4f} | {one['lowest']:.4f}"
        say(f"| {name} | {figures} | {baselines} | {flagged} |")
    alarms = result["false_alarms"]
    if "missing" in alarms:
        say(f"\nfalse alarms: {alarms['missing']}")
        return
    say(
        "\n| list, on ratings drawn from the fitted model | tested | p ≤ 0.05 | p ≤ 0.01 | flagged "
        "| draws with any | on the real ratings |\n|---|--:|--:|--:|--:|--:|--:|"
    )
    for name, one in alarms.items():
        say(
            f"| {name} | {one['tested']:,} | {100 * one['p ≤ 0.05']:.2f} % | {100 * one['p ≤ 0.01']:.2f} % "
            f"| {one['flagged']:,} | {one['draws with any']} of {one['draws']} "
            f"| {one['flagged on the real ratings']:,} |"
        )
