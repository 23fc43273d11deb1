"""Files that are fetched once from their public homes, checked, and kept in the user's cache folder."""

from functools import partial
from pathlib import Path

import pooch


def fetch(name: str, url: str, checksum: str, variable: str) -> Path:
    """Return where a file is in the user's cache folder, fetched and checked if it was not there.

    What came of a download that broke off is kept beside it as ``name.part``, and the next call goes on from there, if the server
    can; one process at a time.

    Parameters
    ----------
    name : str
        Of the file in the cache folder.
    url : str
        Its public home.
    checksum : str
        Such as ``"md5:…"`` or ``"sha256:…"``.
    variable : str
        The environment variable that can name a local copy; only for the error's words.

    Raises
    ------
    ValueError
        If what came has another checksum; it is removed.
    OSError
        If the file cannot be fetched.
    """
    folder = pooch.os_cache("gdl_utils")
    download = partial(_download, part=folder / f"{name}.part")
    try:
        path = pooch.retrieve(url, known_hash=checksum, fname=name, path=folder, downloader=download)
    except OSError as error:  # what requests raises is one
        raise OSError(
            f"{name}: {url} could not be fetched ({error}); "
            f"without a network, let the environment variable {variable} name a local copy"
        ) from error
    except ValueError as error:  # pooch has removed what came
        raise ValueError(f"{name}: {url} did not give the file that it should ({error})") from error
    return Path(path)


def _download(url: str, place: str, _, *, part: Path) -> None:
    """Write what is at an address to a place, going on from what there is in part; pooch's third argument is of no use here."""
    import requests  # as pooch does: only who fetches something waits for these
    from tqdm import tqdm

    start = part.stat().st_size if part.exists() else 0
    # Packed for the way, a file would have other bytes to count.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with requests.get(url, headers=headers, stream=True, timeout=30) as response:
        if (
            start and response.status_code == 416
        ):  # there is nothing after the part: it is no part of this file
            part.unlink()
            return _download(url, place, _, part=part)
        response.raise_for_status()
        start *= response.status_code == 206  # a server that knows no ranges sends all of it
        total = start + int(response.headers.get("Content-Length", 0))
        bar = tqdm(total=total or None, initial=start, unit="B", unit_scale=True, desc=part.stem)
        with bar, part.open("ab" if start else "wb") as file:
            for chunk in response.iter_content(2**16):
                file.write(chunk)
                bar.update(len(chunk))
    part.replace(place)
