"""Strands: files of every kind and damage, letters as numbers, the other strand, shuffles that keep pairs, words that are hidden."""

import gzip
import itertools
import random
import string
from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gdl_utils.data import one_hot, planted, read_sequences, reverse_complement, shuffle_pairs
from gdl_utils.domains import strand
from gdl_utils.groups import cyclic
from gdl_utils.representations import complement
from gdl_utils.signals import SignalSpace

DNA = st.text("ACGTRYSWKMBDHVNacgtryswkmbdhvn", min_size=1, max_size=30)
RNA = DNA.map(lambda sequence: sequence.translate(str.maketrans("Tt", "Uu")))
FASTA = b">one \r\nACGT\r\nAC\r\n\r\n; a comment\r\n> two|2\r\nnnGU"
PACKED = gzip.compress(FASTA, mtime=0)


def pairs(sequence):
    return Counter(itertools.pairwise(sequence))


# Files


@pytest.mark.parametrize("content", [FASTA, FASTA.replace(b"\r", b""), b"\xef\xbb\xbf" + FASTA, PACKED])
def test_fasta_is_read_whatever_the_system_and_the_name(tmp_path, content):
    (tmp_path / "file.txt").write_bytes(content)
    assert read_sequences(tmp_path / "file.txt") == (["one", "two|2"], ["ACGTAC", "nnGU"])
    assert read_sequences(str(tmp_path / "file.txt"))[1] == ["ACGTAC", "nnGU"]


def test_plain_lines_are_named_by_their_numbers(tmp_path):
    (tmp_path / "lines.fa").write_text("\nACGT\n\n; more\nGATTACA\n")
    assert read_sequences(tmp_path / "lines.fa") == (["line 2", "line 5"], ["ACGT", "GATTACA"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "has no sequences"),
        (b"\r\n; only words\n", "has no sequences"),
        (gzip.compress(b"", mtime=0), "has no sequences"),
        (b">one\n>two\nACGT", "no sequence below the title 'one'"),
        (b">one\nACGT\n>" + 30 * b"two", "no sequence below the title 'twotwo"),
        (b"ACGT\n>one\nACGT", "'ACGT' in line 1, before its first title"),
        (b"A\tseq_1\tACGT\t1\n", r"in line 1; where no line begins with >"),
        (b"@read\nACGT\n+\nIIII\n", "'@read' in line 1"),
        (b"ACGT\nsome words\n", "'some words' in line 2"),
        (b"\x89PNG\r\n\x1a\n", "no text in UTF-8"),
        (">é\nACGT".encode("latin-1"), "no text in UTF-8"),
        (b"AC\0GT", "bytes of zero"),
        (PACKED[:-3], "damaged"),
        (PACKED[:20] + b"\xff" + PACKED[21:], "damaged"),
        (b"\x1f\x8b", "damaged"),
    ],
)
def test_what_is_no_file_of_sequences_is_refused_in_words(tmp_path, content, words):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=rf"path: .*file .*{words}"):
        read_sequences(tmp_path / "file")


def test_every_flipped_bit_of_a_packed_file_is_refused_in_words_or_harmless(tmp_path):
    refused, path = 0, tmp_path / "flipped"
    for bit in range(8 * len(PACKED)):
        flipped = bytearray(PACKED)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            found = read_sequences(path)
        except ValueError as error:  # and nothing else
            assert str(path) in str(error)
            refused += 1
        else:
            assert found == (["one", "two|2"], ["ACGTAC", "nnGU"])
    assert refused > 4 * len(PACKED)


def test_no_file_is_the_systems_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_sequences(tmp_path / "nowhere")


# Numbers


def test_one_hot_has_the_order_of_the_complement():
    x = one_hot(["ACGT", "tgcn"])
    assert x.shape == (2, 1, 4, 4) and x.dtype == torch.float32 and x.is_contiguous()
    assert torch.equal(x[0, 0], torch.eye(4))
    assert x[1, 0].T.tolist() == [[0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0.25] * 4]
    assert (
        torch.equal(one_hot(["ACGU"]), x[:1]) and one_hot(["A"], dtype=torch.float64).dtype == torch.float64
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("letter", "bases"),
    {
        **{"R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"},
        **{"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
    }.items(),
)
def test_letters_for_several_bases_give_equal_shares(letter, bases, dtype):
    share = one_hot([letter], dtype=dtype)[0, 0, :, 0]
    assert torch.equal(share, one_hot(list(bases), dtype=dtype)[:, 0, :, 0].sum(0) / len(bases))


@given(sequence=DNA | RNA)
def test_the_groups_action_is_the_reverse_complement_exactly(sequence):
    space = SignalSpace(strand(len(sequence), cyclic(2)), complement(cyclic(2)))
    x = one_hot([sequence])
    assert torch.equal(space.act(1, x), one_hot([reverse_complement(sequence)]))


def test_neither_reversing_nor_the_complement_alone_is_the_action():  # the control
    space = SignalSpace(strand(4, cyclic(2)), complement(cyclic(2)))
    moved = space.act(1, one_hot(["AACG"]))
    assert torch.equal(moved, one_hot(["CGTT"]))
    assert not torch.equal(moved, one_hot(["GCAA"])) and not torch.equal(moved, one_hot(["TTGC"]))


@given(sequence=DNA, more=st.integers(0, 5))
def test_shorter_ones_stand_in_the_middle(sequence, more):
    length = len(sequence) + more
    x, other = (one_hot([s], length) for s in (sequence, reverse_complement(sequence)))
    assert torch.equal(x[..., more // 2 : more // 2 + len(sequence)], one_hot([sequence]))
    assert x.sum().round() == len(sequence) and x[..., : more // 2].sum() == 0
    moved = SignalSpace(strand(length, cyclic(2)), complement(cyclic(2))).act(1, x)
    assert torch.equal(moved, other.roll(more % 2, -1))  # by one where they do not fit evenly


@pytest.mark.parametrize(
    ("sequences", "length", "words"),
    [
        ([], None, "sequences: is empty"),
        (["A", ""], None, "sequences: number 1 is empty"),
        (["AC", "ACG"], None, "from 2 to 3 letters; give the length"),
        (["AC", "ACG"], 2, "length: got 2; sequence number 1 has 3"),
        (["ACGT", "AC-T"], None, "sequences: number 1 has '-' at position 2; .*gaps"),
        (["MKVLA"], None, "number 0 has 'L' at position 3; .*protein"),
        (["ACGX"], None, "has 'X' at position 3; give A, C, G, T or U, or IUPAC's letters for several$"),
        (["AC GT"], None, "has ' ' at position 2"),
        (["ACſT"], None, "has 'ſ' at position 2"),  # whose upper case is S
        (["ACTu"], None, "both T and U"),
        (["A"], 2**28, "sequences: 1 strands of 268,435,456 bases would hold"),
    ],
)
def test_what_is_no_dna_is_refused_in_words(sequences, length, words):
    with pytest.raises(ValueError, match=words):
        one_hot(sequences, length)


def test_other_types_are_refused_in_words():
    with pytest.raises(TypeError, match=r"sequences: got one string, 'ACGT'; give a list"):
        one_hot("ACGT")
    with pytest.raises(TypeError, match=r"sequences: number 0 is a bytes"):
        one_hot([b"ACGT"])
    with pytest.raises(TypeError, match=r"dtype: got torch\.int64"):
        one_hot(["ACGT"], dtype=torch.int64)
    with pytest.raises(TypeError, match=r"length: got 4\.0"):
        one_hot(["ACGT"], 4.0)
    for function in (reverse_complement, lambda s: shuffle_pairs(s, random.Random(0))):
        with pytest.raises(TypeError, match=r"sequence: (got|is) a list"):
            function(["ACGT"])


# The other strand


@given(sequence=DNA)
def test_the_reverse_complement_is_an_involution(sequence):
    other = reverse_complement(sequence)
    assert reverse_complement(other) == sequence and len(other) == len(sequence)
    assert [a.islower() for a in other] == [a.islower() for a in reversed(sequence)]


@given(sequence=RNA)
def test_of_rna_it_is_one_where_both_strands_say_that_they_are_rna(sequence):
    again = reverse_complement(reverse_complement(sequence))
    both = {"A", "U"} <= set(sequence.upper()) or "U" not in sequence.upper()
    assert (again if both else again.translate(str.maketrans("Tt", "Uu"))) == sequence


def test_a_reverse_complement_by_hand():
    assert reverse_complement("AAC") == "GTT" != "AAC"[::-1]
    assert reverse_complement("AACU") == "AGUU" and reverse_complement("RBN") == "NVY"
    with pytest.raises(ValueError, match=r"sequence: has 'X' at position 1"):
        reverse_complement("AX")


# Shuffles


@given(sequence=st.text("ACGTn", max_size=40) | st.text(string.ascii_letters), seed=st.integers(0, 99))
def test_a_shuffle_keeps_pairs_and_ends(sequence, seed):
    other = shuffle_pairs(sequence, random.Random(seed))
    assert pairs(other) == pairs(sequence) and Counter(other) == Counter(sequence)
    assert other[:1] == sequence[:1] and other[-1:] == sequence[-1:]


def test_a_shuffle_of_letters_does_not_keep_pairs():  # the control
    sequence, rng = "AACCGGTTACGT", random.Random(0)
    assert pairs("".join(rng.sample(sequence, len(sequence)))) != pairs(sequence)


@pytest.mark.parametrize("sequence", ["ACAGATACGA", "AACATTACA", "ACCACGCTC", "ABCABDABDC", "AABABBAB"])
def test_all_shuffles_are_equally_likely(sequence):
    orders = set(map("".join, itertools.permutations(sequence[1:-1])))
    possible = {sequence[0] + order + sequence[-1] for order in orders}
    possible = {other for other in possible if pairs(other) == pairs(sequence)}
    rng, draws = random.Random(0), 400 * len(possible)
    counts = Counter(shuffle_pairs(sequence, rng) for _ in range(draws))
    assert counts.keys() == possible and len(possible) > 3
    chi_square = sum((n - 400) ** 2 / 400 for n in counts.values())
    freedom = len(possible) - 1
    assert chi_square < freedom + 4 * (2 * freedom) ** 0.5
    skewed = sum((n * (1.5 if i % 2 else 0.5) - 400) ** 2 / 400 for i, n in enumerate(counts.values()))
    assert skewed > freedom + 4 * (2 * freedom) ** 0.5  # the control: some more often than others


# Words


@pytest.mark.parametrize("both_strands", [True, False])
@pytest.mark.parametrize("word", ["ACATTCCA", "TCACGTGA", "ACGC"])
def test_half_have_the_word_and_the_others_its_letters(word, both_strands):
    n, other = 400, reverse_complement(word)
    sequences, labels = planted(n, word, 61, seed=1, both_strands=both_strands)
    assert labels.tolist() == [0, 1] * (n // 2) and {len(s) for s in sequences} == {61}
    assert all((word in s) or (other in s) == both_strands for s in sequences[1::2])
    assert not any((word in s) or (other in s) for s in sequences[::2])
    forward = sum(word in s for s in sequences[1::2])
    assert forward == n // 2 if not both_strands or word == other else 60 < forward < 150
    starts = [s.find(word) for s in sequences[1::2] if word in s]
    assert min(starts) < 6 and max(starts) > 61 - len(word) - 6
    again, _ = planted(n, word, 61, seed=1, both_strands=both_strands)
    assert sequences == again != planted(n, word, 61, seed=2, both_strands=both_strands)[0]


def test_counts_of_letters_do_not_tell_the_classes_apart():
    sequences, labels = planted(4000, "AAATTTAA", 8)  # nothing else but the word
    counts = one_hot(sequences).sum((1, 3))
    assert torch.equal(counts[labels == 0].unique(dim=0), counts[labels == 1].unique(dim=0))
    forward = (counts[:, 0] == 5).double()  # five A and three T: on this strand
    assert (forward[labels == 0].mean() - forward[labels == 1].mean()).abs() < 0.06


@pytest.mark.parametrize(
    ("values", "error", "words"),
    [
        ((0, "ACGT"), ValueError, "n: got 0"),
        ((4, "ACGT", 10.0), TypeError, r"length: got 10\.0"),
        ((4, "acgt"), ValueError, "word: got 'acgt'; give letters"),
        ((4, "ACGU"), ValueError, "word: got 'ACGU'; give letters"),
        ((4, "AAAA"), ValueError, "at least two different"),
        ((4, ""), ValueError, "word: got ''"),
        ((4, "ACGTACGT", 7), ValueError, "does not fit into length 7"),
        ((4, "ACA"), ValueError, r"101 random letters have 3\.1 times on average"),
    ],
)
def test_a_word_that_cannot_be_hidden_is_refused_in_words(values, error, words):
    with pytest.raises(error, match=words):
        planted(*values)
