"""AdrenalMNIST3D, from files of the tests' own: splits, what is damaged, what does not fit. Nothing is fetched."""

import numpy as np
import pooch
import pytest
import torch

from gdl_utils.data import adrenal


def small(n, seed=0):
    """Masks and labels of the official form."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 2, (n, 28, 28, 28), dtype=np.uint8) * np.uint8(255)
    return images, (np.arange(n) % 2).astype(np.uint8)[:, None]


def arrays(**sizes):
    parts = {split: small(n, seed=n) for split, n in sizes.items()}
    return {
        f"{split}_{k}": a
        for split, pair in parts.items()
        for k, a in zip(("images", "labels"), pair, strict=True)
    }


@pytest.fixture
def local(tmp_path, monkeypatch):
    path = tmp_path / "local.npz"
    monkeypatch.setenv("GDL_ADRENAL", str(path))
    monkeypatch.setattr(pooch, "retrieve", None)  # is not asked
    np.savez_compressed(path, **arrays(train=5, val=3))
    return path


def test_splits_are_read_as_they_are(local):
    for split, n in (("train", 5), ("val", 3)):
        volumes, labels = adrenal(split)
        images, truth = small(n, seed=n)
        assert volumes.shape == (n, 1, 28, 28, 28) and volumes.dtype == torch.float32
        assert np.array_equal(volumes[:, 0].numpy() * 255, images) and volumes.unique().tolist() == [0, 1]
        assert labels.dtype == torch.int64 and labels.tolist() == truth[:, 0].tolist()
    assert torch.equal(adrenal()[0], adrenal("train")[0])


def test_a_split_that_there_is_not_is_named(local):
    with pytest.raises(ValueError, match=r"split: got 'test'; .*local\.npz has 'train', 'val'"):
        adrenal("test")
    with pytest.raises(ValueError, match="split: got 'valid'; give one of 'train', 'val', 'test'"):
        adrenal("valid")
    local.unlink()
    with pytest.raises(FileNotFoundError, match="GDL_ADRENAL: there is no file"):
        adrenal()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_images": small(5)[0][:, :27]}, r"\(5, 27, 28, 28\)"),
        ({"train_images": small(5)[0] / 255}, "float64"),
        ({"train_images": small(5)[0] // 2}, r"got images of \[  0 127\]"),
        ({"train_labels": small(5)[1][:, 0]}, r"labels \(5,\)"),
        ({"train_labels": small(4)[1]}, r"labels \(4, 1\)"),
        ({"train_labels": small(5)[1] + 1}, r"labels uint8 of \[1 2\]"),
        ({"train_labels": small(5)[1] / 1}, "labels float64"),
        ({"train_labels": np.array([{}], dtype=object)}, "damaged"),
    ],
)
def test_what_is_not_of_the_form_is_refused(local, change, words):
    np.savez(local, **arrays(train=5, val=3) | change)
    with pytest.raises(ValueError, match=f"adrenal: .*{words}"):
        adrenal()
    assert len(adrenal("val")[0]) == 3  # the control: the other split is read


def test_a_damaged_file_is_named(local):
    whole = local.read_bytes()
    for content in (b"", b"nothing", whole[: len(whole) // 2], whole[:5000] + b"x" + whole[5001:]):
        local.write_bytes(content)
        with pytest.raises(ValueError, match=r"adrenal: .*local\.npz is no .npz .* or it is damaged"):
            adrenal()
    np.savez(local, train_images=small(5)[0])
    with pytest.raises(ValueError, match=r"train_labels"):
        adrenal()


def test_without_a_local_file_the_official_one_is_fetched(local, monkeypatch):
    monkeypatch.delenv("GDL_ADRENAL")

    def retrieve(url, known_hash, fname, path, downloader):
        assert url.startswith("https://zenodo.org/records/") and "adrenalmnist3d.npz" in url
        assert known_hash == "md5:bbd3c5a5576322bc4cdfea780653b1ce" and fname == "adrenalmnist3d.npz"
        return str(local)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(adrenal("val")[0]) == 3
