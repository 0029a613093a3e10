"""Fonts for names in any script: fallbacks for what matplotlib's own font lacks, and one line where no font is installed."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakSet

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Apple SD Gothic Neo",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Noto Sans",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Thai",
    "Noto Sans Devanagari",
    "Arial Unicode MS",
)
"""Fonts with the scripts that DejaVu Sans lacks, by system; those that are installed are used."""

DEFAULT = ["sans-serif"]
"""matplotlib's own setting of `font.family`; any other is the user's choice, and stays."""


_warned: WeakSet[Figure] = WeakSet()
"""Figures that were warned of; each is drawn more than once."""


def use_fallbacks() -> None:
    """Let matplotlib take from the installed fallbacks each character that its own font lacks."""
    if mpl.rcParams["font.family"] == DEFAULT:
        installed = set(fontManager.get_font_names())
        mpl.rcParams["font.family"] = [*DEFAULT, *(name for name in FALLBACKS if name in installed)]
    # `warn_of_missing` says the same in one line a figure; matplotlib repeats it for each character and each pass.
    warnings.filterwarnings("ignore", message=r"Glyph \d+ .*missing from font", category=UserWarning)


def warn_of_missing(figure: Figure) -> None:
    """Warn once a figure of characters that no installed font has; an SVG leaves the choice of fonts to the browser.

    Parameters
    ----------
    figure : Figure
        The figure, when it is drawn.
    """
    if mpl.rcParams["svg.fonttype"] == "none" or figure in _warned:
        return
    texts = (text.get_text() for text in figure.findobj(Text))
    lacking = missing(character for text in texts for character in text)
    if lacking:
        _warned.add(figure)
        message = (
            f"No installed font has {' '.join(lacking[:5])}{' …' if len(lacking) > 5 else ''}, so the figure shows boxes: "
            "install one that has, such as Noto Sans CJK (Debian and Ubuntu: fonts-noto-cjk), and delete "
            f"{Path(mpl.get_cachedir()) / 'fontlist*.json'}, where matplotlib keeps the fonts that it knows."
        )
        warnings.warn(message, stacklevel=2)


def missing(characters: Iterable[str]) -> list[str]:
    """Return the characters that none of matplotlib's fonts has.

    Parameters
    ----------
    characters : iterable of str
        Single characters; repetitions count once.

    Returns
    -------
    list of str
        In order of their code points.
    """
    beyond = {one for one in characters if ord(one) > LATIN}
    return sorted(one for one in beyond if not _is_drawn(one, tuple(mpl.rcParams["font.family"])))


LATIN = 0x24F
"""Last code point of the Latin letters, which every font has."""


@functools.cache
def _is_drawn(character: str, families: tuple[str, ...]) -> bool:
    paths = (findfont(FontProperties(family=[family])) for family in families)
    return any(get_font(path).get_char_index(ord(character)) for path in paths)
