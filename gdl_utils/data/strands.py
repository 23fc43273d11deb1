"""Strands of DNA and RNA: read from files, written as numbers, read from the other side."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from gdl_utils._checks import check_positive, check_size

# What each letter may stand for (IUPAC), and what it pairs with: one for several bases with the one for their partners.
STANDS_FOR = {
    **{"A": "A", "C": "C", "G": "G", "T": "T", "U": "T"},
    **{"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"},
    **{"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}
PAIRS = str.maketrans("ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN")
LETTERS = {*STANDS_FOR, *map(str.lower, STANDS_FOR)}
SHARES = np.zeros((256, 4))  # of each base, by a letter's code
for letter, bases in STANDS_FOR.items():
    SHARES[[ord(letter), ord(letter.lower())]] = [(base in bases) / len(bases) for base in "ACGT"]


def read_sequences(path: str | Path) -> tuple[list[str], list[str]]:
    """Read the sequences in a text file: FASTA, or one sequence a line.

    Parameters
    ----------
    path : str or Path
        The file, packed by gzip or not, whatever its name. In FASTA a line with a ``>`` is a title, and its sequence stands on the
        lines below it. Blank lines, and those that begin with a semicolon, are skipped.

    Returns
    -------
    titles, sequences : lists of str
        The rest of each line with a ``>``, or ``"line 3"`` where the file has none; and letters as they stand there, whatever they are,
        without white space.

    Raises
    ------
    ValueError
        If the file is empty, damaged or no text in UTF-8, begins with something else than a title, a title has no sequence below it,
        or, where there are no titles, a line is not one sequence.
    OSError
        If the file cannot be read.
    """
    return parse_sequences("path", path)


def parse_sequences(argument: str, path: str | Path) -> tuple[list[str], list[str]]:
    """Read sequences, as ``read_sequences`` does; errors name the argument."""
    numbered = enumerate(map(str.strip, read_text(argument, path).splitlines()), start=1)
    lines = [(number, line) for number, line in numbered if line and line[0] != ";"]
    if not lines:
        raise ValueError(f"{argument}: {path} has no sequences in it")
    if not any(line[0] == ">" for _, line in lines):
        for number, line in lines:
            if not line.isalpha():
                raise ValueError(
                    f"{argument}: {path} has {line[:20]!r} in line {number}; where no line begins with >, "
                    "each is one sequence, in letters"
                )
        return [f"line {number}" for number, _ in lines], [line for _, line in lines]
    titles, parts = [], []
    for number, line in lines:
        if line[0] == ">":
            titles.append(line[1:].strip())
            parts.append([])
        elif not titles:
            raise ValueError(
                f"{argument}: {path} has {line[:20]!r} in line {number}, before its first title, a line with >"
            )
        else:
            parts[-1] += line.split()
    for title, part in zip(titles, parts, strict=True):
        if not part:
            raise ValueError(f"{argument}: {path} has no sequence below the title {title[:20]!r}")
    return titles, ["".join(part) for part in parts]


def read_text(argument: str, path: str | Path) -> str:
    """Return what a text file says, packed by gzip or not; errors name the argument."""
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{argument}: {path} is packed by gzip, and damaged ({error})") from error
    try:
        text = content.decode("utf-8-sig")  # some editors put a mark at the beginning
    except UnicodeDecodeError as error:
        raise ValueError(f"{argument}: {path} is no text in UTF-8 ({error})") from error
    if "\0" in text:
        raise ValueError(f"{argument}: {path} is no text: it has bytes of zero")
    return text


def one_hot(
    sequences: Sequence[str], length: int | None = None, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Write sequences as signals on a strand: at each position how much of A, C, G and T there is.

    A base is 1 and the others are 0; a letter that stands for several bases gives them equal shares, N a quarter each. Lower case
    counts as upper case and U as T. The group of two that reads the other strand is ``complement(cyclic(2))`` on a ``strand``:
    it commutes with ``reverse_complement`` exactly.

    Parameters
    ----------
    sequences : sequence of str
        The letters, in the order in which they are read (from 5' to 3').
    length : int, optional
        Of the strand. Sequences that are shorter stand in its middle, between zeros; where their number is odd, there is one more on the
        right, and reading the other strand moves the sequence by one position. By default the length that all of them have.
    dtype : torch.dtype, optional
        Type of the numbers, a floating one.

    Returns
    -------
    tensor of shape (n, 1, 4, length)
        One channel; the bases in the order A, C, G, T.

    Raises
    ------
    TypeError
        If one string is given instead of several, or something else than strings, or the dtype is no floating type.
    ValueError
        If there are no sequences or one is empty, one has another letter, or both T and U; lengths differ and none is given, or
        a sequence is longer than the one given. Errors count sequences and positions from 0.

    Examples
    --------
    >>> one_hot(["GaN"]).mT
    tensor([[[[0.0000, 0.0000, 1.0000, 0.0000],
              [1.0000, 0.0000, 0.0000, 0.0000],
              [0.2500, 0.2500, 0.2500, 0.2500]]]])
    """
    if isinstance(sequences, str):
        raise TypeError(f"sequences: got one string, {sequences[:20]!r}; give a list of them")
    if not dtype.is_floating_point:
        raise TypeError(f"dtype: got {dtype}; give a floating type")
    sequences = list(sequences)
    if not sequences:
        raise ValueError("sequences: is empty; give at least one")
    for i, sequence in enumerate(sequences):
        _check(f"sequences: number {i}", sequence)
    lengths = [len(sequence) for sequence in sequences]
    if length is None and len(set(lengths)) > 1:
        raise ValueError(
            f"sequences: have from {min(lengths)} to {max(lengths)} letters; give the length of the strand too"
        )
    length = lengths[0] if length is None else check_positive("length", length)
    if max(lengths) > length:
        i = lengths.index(max(lengths))
        raise ValueError(f"length: got {length}; sequence number {i} has {lengths[i]} letters")
    check_size("sequences", 4 * length * len(sequences), f"{len(sequences):,} strands of {length:,} bases")
    codes = np.zeros((len(sequences), length), dtype=np.uint8)  # 0 is no letter's
    for row, sequence in zip(codes, sequences, strict=True):
        start = (length - len(sequence)) // 2
        row[start : start + len(sequence)] = list(sequence.encode())
    return torch.tensor(SHARES, dtype=dtype)[torch.tensor(codes, dtype=torch.int64)].mT[:, None].contiguous()


def reverse_complement(sequence: str) -> str:
    """Return what the other strand says, read in its own direction: backwards, A for T, C for G and the other way round.

    Parameters
    ----------
    sequence : str
        Letters as ``one_hot`` takes them. Their case stays with their position, and a letter for several bases becomes the one for
        their partners.

    Returns
    -------
    str
        RNA where the sequence has a U in it, and DNA elsewhere. Applied twice it gives the sequence again; but what has a U and no A
        comes back as DNA.

    Raises
    ------
    TypeError, ValueError
        If the sequence is no string, is empty, has another letter, or both T and U.

    Examples
    --------
    >>> reverse_complement("GATTACA"), reverse_complement("GAUUACA"), reverse_complement("aRN")
    ('TGTAATC', 'UGUAAUC', 'NYt')
    """
    _check("sequence:", sequence)
    partners = sequence.upper().translate(PAIRS)
    if "U" in sequence.upper():
        partners = partners.replace("T", "U")
    paired = zip(sequence, partners, strict=True)
    return "".join(b.lower() if a.islower() else b for a, b in paired)[::-1]


def _check(what: str, sequence: str) -> None:
    """Refuse what is no sequence of letters for bases; ``what`` begins the error."""
    if not isinstance(sequence, str):
        raise TypeError(f"{what} is a {type(sequence).__name__}; give a string of letters")
    if not sequence:
        raise ValueError(f"{what} is empty; give at least one letter")
    if wrong := set(sequence) - LETTERS:
        place = next(i for i, letter in enumerate(sequence) if letter in wrong)
        hint = "; leave gaps out, or write N for a base that is not known" if wrong <= set("-.") else ""
        if set("".join(wrong).upper()) & set("EFILPQ"):  # amino acids, and no letters for bases
            hint = "; is this a protein?"
        raise ValueError(
            f"{what} has {sequence[place]!r} at position {place}; give A, C, G, T or U, or IUPAC's letters for several{hint}"
        )
    if {"T", "U"} <= set(sequence.upper()):
        raise ValueError(f"{what} has both T and U; DNA is written with T and RNA with U")
