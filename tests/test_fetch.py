"""What is fetched: whole, resumed where it broke off, refused where it is another file. From a server of the tests' own."""

import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pooch
import pytest
import tqdm

from gdl_utils.data._fetch import fetch

CONTENT = np.random.default_rng(0).bytes(300_000)
CHECKSUM = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


class Handler(BaseHTTPRequestHandler):
    """Sends the server's content from where it is asked for, and breaks off after so many bytes."""

    def do_GET(self):
        server, asked = self.server, self.headers.get("Range")
        server.asked.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and server.ranges else 0
        if server.status or start >= len(server.content):
            return self.send_error(server.status or 416)
        rest = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest[: server.most])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(pooch, "os_cache", lambda _: tmp_path / "cache")
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.ranges, server.most, server.status, server.asked = CONTENT, True, None, 0, []
        server.folder, server.url = tmp_path / "cache", f"http://127.0.0.1:{server.server_port}/file"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def get(server, checksum=CHECKSUM):
    return fetch("file.bin", server.url, checksum, "GDL_FILE")


def test_a_file_is_fetched_once_and_its_progress_shown(server, capsys, monkeypatch):
    # Other tests run notebooks, and switch bars off in this process (TQDM_DISABLE).
    monkeypatch.setattr(tqdm, "tqdm", partial(tqdm.tqdm, disable=False))
    for _ in range(2):
        assert get(server) == server.folder / "file.bin" and get(server).read_bytes() == CONTENT
    assert server.asked == [None] and list(server.folder.iterdir()) == [get(server)]
    assert "100%" in capsys.readouterr().err


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_breaks_off_goes_on_or_begins_anew(server, ranges):
    server.most, server.ranges = 200_000, ranges
    with pytest.raises(OSError, match=r"file\.bin: http.* could not be fetched .* variable GDL_FILE name"):
        get(server)
    (part,) = server.folder.iterdir()  # no half file in its place
    assert part.name == "file.bin.part" and 0 < len(there := part.read_bytes()) <= 200_000
    assert CONTENT.startswith(there)
    server.most = None
    assert get(server).read_bytes() == CONTENT and not part.exists()
    assert server.asked == [None, f"bytes={len(there)}-"]


@pytest.mark.parametrize("part", [b"", b"not its beginning", CONTENT, CONTENT + b"more"])
def test_a_part_that_does_not_fit_does_no_lasting_harm(server, part):
    server.folder.mkdir()
    (server.folder / "file.bin.part").write_bytes(part)
    if part == b"not its beginning":
        with pytest.raises(ValueError, match="did not give the file that it should"):
            get(server)
    assert get(server).read_bytes() == CONTENT and list(server.folder.iterdir()) == [get(server)]


def test_another_file_is_removed_and_said(server):
    with pytest.raises(ValueError, match=r"file\.bin: http.* did not give the file that it should .*hash"):
        get(server, "md5:" + "0" * 32)
    assert list(server.folder.iterdir()) == []


def test_what_a_server_says_against_it_is_passed_on(server):
    server.status = 404
    with pytest.raises(OSError, match=r"could not be fetched \(404"):
        get(server)
    assert list(server.folder.iterdir()) == []
