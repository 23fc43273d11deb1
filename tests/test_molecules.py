"""ESOL, from files of the tests' own: what is read, what is damaged, what does not fit. Nothing is fetched."""

import pooch
import pytest
import torch

from gdl_utils.data import esol

HEADER = "Compound,measured log solubility in mols per litre,smiles"
ROWS = ["ethanol,1.1,CCO ", '"benzene, pure",-1.64,c1ccccc1', "methane,-2.8e0, C"]


@pytest.fixture
def local(tmp_path, monkeypatch):
    path = tmp_path / "local.csv"
    monkeypatch.setenv("GDL_ESOL", str(path))
    monkeypatch.setattr(pooch, "retrieve", None)  # is not asked
    return write(path)


def write(path, header=HEADER, rows=ROWS):
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_molecules_are_read_as_they_are(local):
    smiles, solubility = esol()
    assert smiles == ["CCO", "c1ccccc1", "C"]  # in whose file there are blanks about them
    assert solubility.dtype == torch.float32 and torch.equal(solubility, torch.tensor([1.1, -1.64, -2.8]))
    for other in (local.read_text().replace("\n", "\r\n"), "\ufeff" + local.read_text()):
        local.write_bytes(other.encode())
        assert esol()[0] == smiles and torch.equal(esol()[1], solubility)


def test_a_mark_at_the_start_is_no_part_of_the_first_column(local):
    local.write_text("\ufeffsmiles,measured log solubility in mols per litre\nC,1\n", encoding="utf-8")
    assert esol()[0] == ["C"]


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("smiles,solubility", ["C,1"], r"has no column 'measured log.*'; it has \['smiles', 'solubility'\]"),
        (HEADER.replace("smiles", "SMILES"), ROWS, "has no column 'smiles'; it has"),
        (HEADER, [], "has no molecules, only a header"),
        (HEADER, [*ROWS, "x,nan,C"], "has 'C' and 'nan' in row 4 below the header"),
        (HEADER, [ROWS[0], "x,-inf,C"], "has 'C' and '-inf' in row 2"),
        (HEADER, ["x,,C", *ROWS], "has 'C' and '' in row 1"),
        (HEADER, ["x,insoluble,C"], "has 'C' and 'insoluble' in row 1"),
        (HEADER, ["x,1, "], "has '' and '1' in row 1"),
        (HEADER, ["x,1"], "has '' and '1' in row 1"),
    ],
)
def test_what_is_not_of_the_form_is_refused(local, header, rows, words):
    write(local, header, rows)
    with pytest.raises(ValueError, match=f"esol: .*local.csv {words}"):
        esol()


def test_files_that_are_none_are_named(local):
    for content in (b"\xff\xfe\x00", b"\x00\xe9", b'"' + b"x" * 200_000):
        local.write_bytes(content)
        with pytest.raises(ValueError, match=r"esol: .*local\.csv is no \.csv in UTF-8"):
            esol()
    local.write_bytes(b"")
    with pytest.raises(ValueError, match="has no column 'smiles', 'measured"):
        esol()
    local.unlink()
    with pytest.raises(FileNotFoundError, match="GDL_ESOL: there is no file"):
        esol()
    local.mkdir()
    with pytest.raises(FileNotFoundError, match="GDL_ESOL: there is no file"):
        esol()


def test_without_a_local_file_the_public_one_is_fetched(local, monkeypatch):
    monkeypatch.delenv("GDL_ESOL")

    def retrieve(url, known_hash, fname, path, downloader):
        assert url == "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/delaney-processed.csv"
        assert known_hash.startswith("sha256:a51dcc10593a") and fname == "delaney-processed.csv"
        return str(local)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(esol()[0]) == 3
