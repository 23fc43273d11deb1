"""Binding sites, from small files of the tests' own: what is read, and what is refused in words."""

import gzip

import pytest

from gdl_utils.data import binding_sites, clip_sites

HEAD = "FoldID\tEventID\tseq\tBound\n"
PEAKS = HEAD + "A\tseq_00001_peak\tACGT\t1\r\nA\tseq_00003_peak\tGATT\t1\n"
CLIP = "> chr1,+,868005,868105; class:0\nACG\nTAC\n> chr1,-,878861,878961; class:1\nNNNNNN\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder that ``GDL_DNA`` names, with both kinds of file."""
    monkeypatch.setenv("GDL_DNA", str(tmp_path))
    (tmp_path / "TEAD4_peaks.seq.gz").write_bytes(gzip.compress(PEAKS.encode()))
    (tmp_path / "HNRNPC_clip.fa.gz").write_bytes(gzip.compress(CLIP.encode()))
    return tmp_path


def test_binding_sites_are_read_in_their_order(folder):
    assert binding_sites("TEAD4") == ["ACGT", "GATT"]
    (folder / "TEAD4_peaks.seq.gz").write_text(PEAKS)  # a browser may have unpacked it
    assert binding_sites("TEAD4") == ["ACGT", "GATT"]


def test_clip_sites_are_given_as_they_are(folder):
    sequences, labels = clip_sites()
    assert sequences == ["ACGTAC", "NNNNNN"] and labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("load", "home"), [(lambda: binding_sites("USF1"), "deepbind"), (clip_sites, "iONMF")]
)
def test_without_files_it_is_said_how_to_get_them(tmp_path, monkeypatch, load, home):
    monkeypatch.setenv("GDL_DNA", str(tmp_path))
    with pytest.raises(
        FileNotFoundError, match=rf"GDL_DNA: there is no file .*{tmp_path.name}.*; fetch from .*{home}"
    ):
        load()
    monkeypatch.delenv("GDL_DNA")
    with pytest.raises(
        FileNotFoundError, match=rf"GDL_DNA: is not set; fetch from .*{home}.* save it as .*gz"
    ):
        load()


def test_another_protein_is_refused_in_words():
    with pytest.raises(ValueError, match=r"name: got 'CTCF'; give one of TEAD4, USF1"):
        binding_sites("CTCF")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(PEAKS.encode(), mtime=0)[:-4], "damaged"),
        (b"\x89PNG", "no text"),
        (b"", "no table with columns"),
        (HEAD.encode(), "and rows"),
        (b"<html>not found</html>", "no table with columns"),
        ((HEAD + "A\tseq\tACGT\n").encode(), "in line 2; four columns"),
        ((PEAKS + "A\tseq\tACGT\t0\n").encode(), "in line 4; four columns"),
        ((PEAKS + "A\tseq\t\t1\n").encode(), "in line 4; four columns"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_a_table_that_is_none_is_refused_in_words(folder, content, words):
    (folder / "TEAD4_peaks.seq.gz").write_bytes(content)
    with pytest.raises(ValueError, match=rf"GDL_DNA: .*TEAD4_peaks\.seq\.gz .*{words}"):
        binding_sites("TEAD4")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(CLIP.encode(), mtime=0)[:-4], "damaged"),
        (b"ACGT\nACGT\n", "has the title 'line 1'; each must end in class:0 or class:1"),
        (CLIP.replace("class:1", "class:2").encode(), "878961; class:2'; each must end"),
        (b"> chr1; class:1\n", "no sequence below the title"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_titles_without_a_class_are_refused_in_words(folder, content, words):
    (folder / "HNRNPC_clip.fa.gz").write_bytes(content)
    with pytest.raises(ValueError, match=rf"GDL_DNA: .*HNRNPC_clip\.fa\.gz .*{words}"):
        clip_sites()
