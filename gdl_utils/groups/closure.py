"""All products of some permutations, each with a word of generators that makes it, and a name for each word."""

import numpy as np
from numpy.typing import ArrayLike

from gdl_utils._checks import check_size

MAX_ENTRIES = 2**25  # entries of all permutations, 256 MiB; closing them takes three times as much
MAX_ELEMENTS = 50_000  # beyond this, listing the elements is a mistake more often than a wish
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def close(generators: list[np.ndarray]) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """List all products of the generators, coset by coset (Dimino's algorithm), each with a word that makes it."""
    identity = np.arange(len(generators[0]))
    elements, words = [identity], [()]
    seen = {identity.tobytes()}
    for s in range(len(generators)):
        subgroup, subgroup_words = np.array(elements), list(words)
        representatives = [(identity, ())]
        for representative, word in representatives:  # grows while it is read
            for t in range(s + 1):
                new = representative[generators[t]]
                if new.tobytes() in seen:
                    continue
                entries = (len(elements) + len(subgroup)) * len(identity)
                check_size("generators", entries, "the table of their products", MAX_ENTRIES)
                representatives.append((new, (*word, t)))
                coset = subgroup[:, new]  # h·new for every h of the subgroup
                elements.extend(coset)
                words.extend((*h, *word, t) for h in subgroup_words)
                seen.update(p.tobytes() for p in coset)
                if len(elements) > MAX_ELEMENTS:
                    raise ValueError(f"generators: they make more than {MAX_ELEMENTS:,} elements, too many")
    return np.array(elements), words


def label(word: tuple[int, ...], names: list[str]) -> str:
    """Write a word as a product of powers: (0, 0, 1) is r²m."""
    text, i = "", 0
    while i < len(word):
        j = i
        while j < len(word) and word[j] == word[i]:
            j += 1
        text += names[word[i]] + (str(j - i).translate(SUPERSCRIPTS) if j - i > 1 else "")
        i = j
    return text or "e"


def as_permutation(argument: str, s: int, values: ArrayLike) -> np.ndarray:
    """Return a permutation as int64, or raise an error that names the argument."""
    p = np.asarray(values)
    if p.dtype.kind not in "iu":
        raise TypeError(f"{argument}[{s}]: got values of type {p.dtype}; a permutation holds integers")
    if p.ndim != 1 or not np.array_equal(np.sort(p), np.arange(len(p))):
        raise ValueError(
            f"{argument}[{s}]: {p.tolist()} is no permutation; each of 0 … {max(p.size - 1, 0)} must occur once"
        )
    return p.astype(np.int64)
