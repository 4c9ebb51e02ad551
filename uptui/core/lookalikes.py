"""Warns of a name that could be taken for somebody else's. Pure text; decides nothing.

After Unicode UTS #39 (https://www.unicode.org/reports/tr39/): two names whose skeletons are equal
look alike; letters of several scripts in one name are suspicious. The table is the part of its
confusables.txt whose targets are ASCII letters and digits.
"""

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

from uptui.text import invisible

MAX_CACHED: Final = 8192
"""Skeletons kept: those of everybody remembered, and some more."""
MAX_TOLD: Final = 3
"""Invisible characters that a warning names."""
MAX_TURNS: Final = 8
"""Turns after which a skeleton is taken as it is; two are enough for all of Unicode."""

_LOOKS: Final = {
    "2": "ƧϨᒿꙄꛯꝚ",
    "3": "ƷȜЗзӠⳌꝪꞫ",
    "4": "Ꮞ",
    "5": "Ƽ",
    "6": "бᏮⳒ",
    "8": "Ȣȣ৪੪",
    "9": "৭੧୨൭ⳊꝮ",
    "a": "ɑΑαАаᎪᗅꓮ",
    "b": "ƀƄɓΒВЬвᏏᏴᑲᖯᗷꓐꞴ",
    "c": "СсᏟᴄⲤⲥꓚꮯ",
    "d": "đɖԁᎠᏧᑯᗞᗪꓒꓓ",
    "e": "ΕεЕеєҽᎬⴹꓰꬲ",
    "f": "ϜքᖴẝꓝꞘꞙꬵ",
    "g": "ƍɡԌցᏀᏳᶃꓖ",
    "h": "ΗНнћһհᎻᏂᕼⲎꓧ",
    "i": "ıɨɩɪιіӏᎥꙇꭵ",
    "j": "ͿϳЈјᎫᒍꓙꞲ",
    "k": "ƙΚκКкᏦᛕⲔꓗ",
    "l": "łƖƚǀɫΙІӀ۱ᏞᒪᛁⲒⳐⵏꓡꓲ",
    "m": "ɱΜϺМмᎷᗰᛖⲘꓟ",
    "n": "ŋɳΝηпոռⲚꓠ",
    "o": "øΟοσОоՕօ۵०০੦૦ଠ୦௦౦೦ഠ൦๐໐ဝ၀ჿዐᴏᴑⲞⲟⵔ〇ꓳꬽ",
    "p": "ΡρРрᏢᑭⲢⲣꓑ",
    "q": "ԛգզⵕ",
    "r": "ƦгᎡᏒᖇᴦⲅꓣꭇꭈꮁ",
    "s": "ƽʂЅѕՏᏕᏚꓢꜱꮪ",
    "t": "ΤτТтᎢⲦꓔ",
    "u": "ʋυՍսሀᑌᴜꓴꞟꭎꭒ",
    "v": "νѴѵ۷Ꮩᐯᴠⴸꓦꛟꮩ",
    "w": "ɯѡԜԝաᎳᏔᴡꓪꮃ",
    "x": "ΧХхᕁᕽᚷⲬⵝꓫꞳ",
    "y": "ɣʏΥγУуҮүყᎩᎽᶌỿⲨꓬꭚ",
    "z": "ƶʐΖᏃᴢꓜꮓ",
}
"""ASCII character -> what looks like it in the usual fonts."""
_TABLE: Final = str.maketrans({other: like for like, others in _LOOKS.items() for other in others})
_ALIKE: Final = str.maketrans({"0": "o", "1": "l", "|": "l", "i": "l", "m": "rn", "w": "vv"})
"""ASCII characters, in lower case, that look like one another."""
_EAST_ASIAN: Final = frozenset({"CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO"})
"""Scripts that are written together, and with Latin letters."""


@dataclass(frozen=True)
class Known:
    """A name that means somebody already."""

    name: str
    how: str
    """What is so called, as a sentence that the name ends: "another key is known as"."""
    owner: str
    """Whose name that is: a key's fingerprint, or an invite's route."""


def skeleton(name: str) -> str:
    """What is left of a name when look-alikes are one; never empty for a name that is not."""
    return _skeleton(name) or name.casefold()


@lru_cache(MAX_CACHED)
def _skeleton(name: str) -> str:
    text = name
    for _ in range(MAX_TURNS):
        apart = unicodedata.normalize("NFKD", text)
        kept = (c for c in apart if c == "|" or unicodedata.category(c)[0] in "LN")
        turned = "".join(c for c in kept if not invisible(c)).translate(_TABLE).casefold()
        turned = turned.translate(_TABLE).casefold().translate(_ALIKE)
        if turned == text:
            break
        text = turned
    return text


def by_skeleton(known: Iterable[Known]) -> dict[str, list[Known]]:
    """Who is known, for `warning`."""
    found: dict[str, list[Known]] = {}
    for one in known:
        if one.name:
            found.setdefault(skeleton(one.name), []).append(one)
    return found


def warning(
    name: str, said: str, known: Mapping[str, list[Known]], own: Collection[str] = ()
) -> str:
    """Why whoever is called `name`, and said to be `said`, may not be who they seem; empty for no
    reason. `known` is from `by_skeleton`; what belongs to `own` is no other's."""
    alike = [one for one in known.get(skeleton(name), []) if one.owner not in own]
    same = [one for one in alike if one.name == name]
    reasons = [f"{one.how} {one.name}" for one in same[:1]]
    reasons += [f"looks like {one.name}, {one.how} {one.name}" for one in alike[:1] if not same]
    scripts = _scripts(name)
    if len(scripts) > 1:
        reasons.append(f"mixes {' and '.join(scripts)} letters")
    hidden = dict.fromkeys(f"U+{ord(c):04X}" for c in said if invisible(c))
    if hidden:
        reasons.append(
            f"the name has characters that are not seen ({', '.join(islice(hidden, MAX_TOLD))})"
        )
    return "; ".join(reasons)


def _scripts(name: str) -> list[str]:
    """The scripts of its letters, in order; one where they are usually written together."""
    letters = (c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c)[0] == "L")
    words = (unicodedata.name(letter, "").partition(" ")[0] for letter in letters)
    found = [word for word in dict.fromkeys(words) if word not in {"", "MODIFIER"}]
    if set(found) <= {"LATIN", *_EAST_ASIAN}:
        return found[:1]
    return [word if word in _EAST_ASIAN else word.capitalize() for word in found]
