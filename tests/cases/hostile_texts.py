"""Titles, genres and ids that a surface could obey instead of showing them."""

HOSTILE = [
    "[bold red]Alien[/]", "[/] unbalanced [", "[link=http://127.0.0.1:9/x]here[/link]", ":skull: \\[x]",
    "\x1b[2J\x1b[31mred", "\x1b]8;;http://127.0.0.1:9/\x07link\x1b]8;;\x07", "\x9b31m", "bell\x07\x08\x08",
    "one\rtwo\nthree",
    "evil\u202etxt.exe", "\u2066x\u2069", "lone \ud800", "line\u2028end", "![x](http://127.0.0.1:9/i.png)",
    "[x](javascript:alert(1))", "www.example.invalid", "http://127.0.0.1:9/", "a@b.invalid",
    "**b** _i_ `c` ~~s~~ $x^2$",
    "# head", "| a | b |", ":material/skull:", ":red[x]", "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>", "&lt;b&gt;", "</script>", "=1+2", "=cmd|' /C calc'!A0", "+1", "-1",
    "@SUM(A1)",
    "\t=1",
    "Amélie (2001)", "七人の侍", "👩‍👩‍👧", "",
]  # fmt: skip

SIGNS = ("[bold red]", "![x](", "**b** _i_", ":red[x]", "<script>", "www.example.invalid", "$x^2$")
"""What a page must show of them as it is written."""
