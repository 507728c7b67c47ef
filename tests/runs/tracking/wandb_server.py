"""As much of a W&B server as W&B's own client needs: what it sends is real, and is kept here to be looked at."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: clients that are killed leave connections open."""


class WandbServer:
    """Listens on a port of this machine while its block lasts, or until `stop`.

    Args:
        status: of every answer; None: it takes requests and never answers.
    """

    def __init__(self, status: int | None = 200) -> None:
        self.requests: list[tuple[str, Any]] = []
        """What was asked for (a path, or the name of a GraphQL operation), and with what."""
        self.keys: set[str] = set()
        """What the Authorization headers held."""
        self.uploads: dict[str, bytes] = {}
        self.rows_there = 0
        """Rows that it has of a run that is resumed."""
        self._done = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if key := self.headers.get("Authorization"):
                    server.keys.add(key)
                if status is None:
                    server._done.wait()
                    return
                answer = json.dumps(server._answer(self.path, body)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_PUT = do_POST

        self._http = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    # ---------------------------------------------------------------------------------------- what was sent

    def sent(self, name: str) -> list[Any]:
        """What came with every request of that name."""
        return [content for found, content in self.requests if found == name]

    def history(self) -> list[dict[str, Any]]:
        """The rows that were logged."""
        files = [content.get("files", {}) for name, content in self.requests if name.endswith("/file_stream")]
        lines = [line for file in files for line in file.get("wandb-history.jsonl", {}).get("content", [])]
        return [json.loads(line) for line in lines]

    def run(self) -> dict[str, Any]:
        """What the run was begun with."""
        begun: dict[str, Any] = self.sent("UpsertBucket")[0]
        return begun

    # --------------------------------------------------------------------------------------------- answers

    def _answer(self, path: str, body: bytes) -> Any:
        if path.startswith("/upload/"):
            self.uploads[path.removeprefix("/upload/")] = body
            return {}
        content = json.loads(body or b"{}")
        if path != "/graphql":
            self.requests.append((path, content))
            return {}
        variables = content.get("variables") or {}
        name = content.get("operationName") or ""
        self.requests.append((name, variables))
        return {"data": self._data(name, variables)}

    def _data(self, name: str, asked: Mapping[str, Any]) -> Any:
        if name == "UpsertBucket":
            project = {"id": "1", "name": asked["project"], "entity": {"id": "2", "name": "me"}}
            bucket = {"id": "3", "name": asked["name"], "displayName": "x", "config": "{}", "project": project}
            return {"upsertBucket": {"bucket": bucket | {"historyLineCount": 0}, "inserted": True}}
        if name == "RunResumeStatus":
            there = _bucket(asked["name"], self.rows_there) if self.rows_there else None
            return {"model": {"id": "1", "name": "p", "entity": {"id": "2", "name": "me"}, "bucket": there}}
        if name == "Viewer":
            return {"viewer": {"id": "9", "entity": "me", "username": "me", "flags": "{}", "teams": {"edges": []}}}
        if name == "CreateRunFiles":
            files = [{"name": file, "uploadUrl": self._place(file)} for file in asked["files"]]
            return {"createRunFiles": {"runID": "3", "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":
            artifact = {"id": "4", "state": "PENDING", "artifactSequence": {"id": "5", "latestArtifact": None}}
            return {"createArtifact": {"artifact": artifact}}
        if name.endswith("ArtifactManifest"):  # of Create and of Update
            file = {"id": "6", "uploadUrl": self._place("manifest"), "uploadHeaders": []}
            return {name[0].lower() + name[1:]: {"artifactManifest": {"id": "7", "file": file}}}
        if name == "CreateArtifactFiles":
            wanted = [file["name"] for file in asked["input"]["artifactFiles"]]
            nodes = [{"uploadUrl": self._place(f"artifact/{file}"), "uploadHeaders": []} for file in wanted]
            edges = [{"node": node | {"artifact": {"id": "4"}}} for node in nodes]
            return {"createArtifactFiles": {"files": {"edges": edges}}}
        if name == "CommitArtifact":
            return {"commitArtifact": {"artifact": {"id": "4", "digest": "8"}}}
        return {"project": None}

    def _place(self, file: str) -> str:
        return f"{self.url}/upload/{file}"

    def stop(self) -> None:
        """Ends: from here on, nobody listens on its port."""
        self._done.set()
        self._http.shutdown()
        self._http.server_close()

    def __enter__(self) -> WandbServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._done.is_set():
            self.stop()


def _bucket(name: str, rows: int) -> dict[str, Any]:
    """A run of so many rows, as it is told to a client that wants to continue it."""
    tails = {"historyTail": {"_step": rows - 1, "_runtime": 1}, "eventsTail": {"_runtime": 1}}
    counts = {"logLineCount": 0, "historyLineCount": rows, "eventsLineCount": 0}
    texts = {"summaryMetrics": "{}", "config": "{}", "wandbConfig": json.dumps({"t": 1})}
    lines = {tail: json.dumps([json.dumps(last)]) for tail, last in tails.items()}
    return {"id": "3", "name": name, "displayName": "x", "tags": [], "notes": None} | counts | texts | lines
