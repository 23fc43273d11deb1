"""Sequences that are made: shuffled ones, as controls, and random ones with a word hidden in them."""

import itertools
import random

import torch

from gdl_utils._checks import check_positive
from gdl_utils.data.strands import reverse_complement


def shuffle_pairs(sequence: str, rng: random.Random) -> str:
    """Return a random sequence with the same pairs of neighbouring letters, each as often, and the same ends.

    All such sequences are equally likely. Of binding sites it makes controls in which, beside each letter, CG is as frequent.

    Parameters
    ----------
    sequence : str
        Any letters; upper and lower case are different ones.
    rng : random.Random
        Python's generator of random numbers, which goes on from call to call.

    Returns
    -------
    str
        Of the same length; the sequence itself where there is no other.

    Raises
    ------
    TypeError
        If the sequence is no string.

    Notes
    -----
    A sequence is a walk along its pairs, and a shuffled one is another walk that takes each of them once. Altschul and Erickson
    (1985): draw from each letter the pair by which it is left for the last time, so that these lead to the last letter, put the others
    in a random order, and go. Their last pairs are a random tree, here from the walks of Wilson (1996).

    Examples
    --------
    >>> shuffle_pairs("ACAGATA", random.Random(0))
    'AGATACA'
    """
    if not isinstance(sequence, str):
        raise TypeError(f"sequence: got a {type(sequence).__name__}; give one string")
    following = {}  # the letters that come after each
    for a, b in itertools.pairwise(sequence):
        following.setdefault(a, []).append(b)
    last, end = {}, sequence[-1:]
    for letter in following:
        a, steps = letter, {}
        while a != end and a not in last:  # walk until a letter from which the way is known
            steps[a] = rng.choice(following[a])
            a = steps[a]
        a = letter
        while a != end and a not in last:  # without its loops: each letter's latest step
            last[a] = steps[a]
            a = steps[a]
    for a, others in following.items():
        if a in last:
            others.remove(last[a])
        rng.shuffle(others)  # taken from the end
        if a in last:
            others.insert(0, last[a])
    letters = list(sequence[:1])
    for _ in sequence[1:]:
        letters.append(following[letters[-1]].pop())
    return "".join(letters)


def planted(
    n: int, word: str, length: int = 101, seed: int = 0, *, both_strands: bool = True
) -> tuple[list[str], torch.Tensor]:
    """Return random sequences, every other of which has a word in it, on either strand.

    Where a positive has the word, a negative has its letters in another order, so that counting letters does not tell them apart;
    the word and its reverse complement are nowhere in it.

    Parameters
    ----------
    n : int
        How many sequences.
    word : str
        Letters A, C, G and T, and not one letter only.
    length : int, optional
        How many letters a sequence has, all equally likely.
    seed : int, optional
        Of the random letters and places.
    both_strands : bool, optional
        Whether a word stands on the other strand, as its reverse complement, in about half of the sequences. Otherwise all of them can
        be read on this one.

    Returns
    -------
    sequences, labels : list of str, int64 tensor of shape (n,)
        A negative, a positive, and so on; 0, 1, 0, 1, …

    Raises
    ------
    TypeError, ValueError
        If n or length is no positive whole number, or the word has other letters, has no other order, does not fit into the length or is so
        short that a random sequence would be expected to have it.

    Examples
    --------
    >>> sequences, labels = planted(4, "ACATTCCA", both_strands=False)
    >>> ["ACATTCCA" in sequence for sequence in sequences], labels
    ([False, True, False, True], tensor([0, 1, 0, 1]))
    """
    check_positive("n", n), check_positive("length", length)
    if not isinstance(word, str) or not set(word) <= set("ACGT") or len(set(word)) < 2:
        raise ValueError(f"word: got {word!r}; give letters A, C, G and T, at least two different ones")
    places = length - len(word) + 1
    if places < 1:
        raise ValueError(f"word: got {word!r}, which does not fit into length {length}")
    if (by_chance := 2 * places / 4 ** len(word)) > 1:
        raise ValueError(
            f"word: got {word!r}, which {length} random letters have {by_chance:.2g} times on average; give a longer one"
        )
    rng = random.Random(int(seed))
    either = {word, reverse_complement(word)}

    def draw(shuffled: bool) -> str:
        """Return one sequence."""
        hidden = word
        while shuffled and hidden in either:
            hidden = "".join(rng.sample(word, len(word)))
        if both_strands and rng.random() < 0.5:
            hidden = reverse_complement(hidden)
        start = rng.randrange(places)
        letters = "".join(rng.choices("ACGT", k=length))
        return letters[:start] + hidden + letters[start + len(word) :]

    sequences = [draw(i % 2 == 0) for i in range(n)]
    for i in range(0, n, 2):
        while any(w in sequences[i] for w in either):  # one came by chance
            sequences[i] = draw(True)
    return sequences, torch.arange(n) % 2
