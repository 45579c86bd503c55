r"""Make foreign text safe for what it is printed into: a terminal, Markdown, LaTeX, CSV, HTML, JSON.

Labels, ids, file names, reasons and titles come from manifests, media and other people's methods. They may hold line
breaks, escape sequences of terminals, marks that turn the direction of writing, markup, or the beginning of a formula.
Each function here returns one line that shows such text and does nothing else.
"""

from __future__ import annotations

import re
import unicodedata


def printable(text: str) -> str:
    r"""Text on one line: what does not show, or moves what does, is written as Python would (`\x1b`, `\u202e`).

    >>> print(printable("red\x1b[31m\nnext"))
    red\x1b[31m\nnext
    """
    return "".join(mark if _shows(mark) else mark.encode("unicode_escape").decode("ascii") for mark in text)


def _shows(mark: str) -> bool:
    """Letters, signs, spaces of any width, and the joiners that scripts and emoji need inside a word."""
    return mark.isprintable() or unicodedata.category(mark) == "Zs" or mark in "\u200c\u200d"


def printable_lines(text: str) -> str:
    """The same, with the line breaks kept: for messages of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def markdown(text: str) -> str:
    r"""Text as GitHub's Markdown shows it in a table cell, a heading or a paragraph.

    Underscores and signs that mean something only beside others of their kind are left alone where they do not.

    >>> print(markdown("a|b <i> mean_face"))
    a\|b \<i\> mean_face
    """
    text = re.sub(r"([\\|<>`*\[\]~$]|(?<![^\W_])_|_(?![^\W_]))", r"\\\1", printable(text))
    return re.sub(r"&(?=#|\w+;)", "&amp;", text)


def github_comment(page: str) -> str:
    r"""A page of Markdown as a comment on GitHub: names and numbers in it call nobody and link no issue.

    A space of no width goes behind what would; GitHub looks for mentions in the text that is shown, so that a backslash
    or an entity for the sign itself is no help. Text between backticks, which calls nobody either, must not hold them.

    >>> github_comment("thanks to @octocat, see #12")
    'thanks to @&#8203;octocat, see #&#8203;12'
    """
    return re.sub(r"@|#(?=\d)|\bGH-(?=\d)", lambda sign: f"{sign[0]}&#8203;", page, flags=re.IGNORECASE)


def markdown_code(text: str) -> str:
    """Text between backticks, more of them than stand in a row within it; a table cannot hold a `|` that way."""
    text = printable(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"


def latex(text: str) -> str:
    r"""Text as LaTeX prints it, with any engine and without further packages.

    Accents of Latin letters become commands; what plain LaTeX has no sign for is named by its number, as `U+4E2D`.

    >>> print(latex("50 % of José_1"))
    50 \% of Jos\'{e}\_1
    """
    parts = re.split("-(?=-)", unicodedata.normalize("NFC", printable(text)))  # two hyphens side by side make a dash
    return "-{}".join("".join(map(_latex_mark, part)) for part in parts)


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before what would begin one.

    >>> csv_cell("=1+1"), csv_cell("sf2f")
    ("'=1+1", 'sf2f')
    """
    text = printable(text)
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) else text


def html(text: str) -> str:
    """Text for an element or a quoted attribute of a page."""
    from html import escape

    return escape(printable(text))


def json_text(text: str) -> str:
    r"""A JSON document with `\u` escapes for what does not show: the same values, without a trick on the terminal."""
    return re.sub(
        "[\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]",
        lambda mark: f"\\u{ord(mark[0]):04x}",
        text,
    )


# fmt: off
_LATEX = {
    **{mark: "\\" + mark for mark in "&%$#_{}"},
    # In braces: a row that begins with [ or * would give it to the \\ before it, and two ` become a quotation mark.
    **{mark: f"{{{mark}}}" for mark in "[]*`"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}",
    "<": r"\textless{}", ">": r"\textgreater{}", '"': r"\symbol{34}",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}", "Ø": r"\O{}",
    "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "–": "--", "—": "---", "’": "'",
    "±": r"$\pm$", "×": r"$\times$", "µ": r"$\mu$", "°": r"$^\circ$", "Ω": r"$\Omega$",
    "↑": r"$\uparrow$", "↓": r"$\downarrow$",
}
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": ".",
    "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}
_DOTLESS = {"i": r"\i", "j": r"\j"}
# fmt: on


def _latex_mark(mark: str) -> str:
    if mark in _LATEX:
        return _LATEX[mark]
    if mark.isascii():
        return mark
    letter, *accents = unicodedata.normalize("NFD", mark)
    if letter.isascii() and letter.isalpha() and len(accents) == 1 and accents[0] in _ACCENTS:
        return f"\\{_ACCENTS[accents[0]]}{{{_DOTLESS.get(letter, letter)}}}"
    return f"U+{ord(mark):04X}"
