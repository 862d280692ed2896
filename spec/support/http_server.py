"""A loopback HTTP server whose answers misbehave on request, for the specs of hone.http and the hub.

Run as `http_server.py [--tls CERT KEY]`; prints its port on the first line and serves until /quit is
asked for or the process that started it is gone.

Paths: /log answers with what was asked since the last /log; the rest is in ROUTES below. State that
must survive several requests (fail twice, then work) is kept per key: /flaky/KEY/2/503.
"""

import base64
import email.utils
import gzip
import hashlib
import http.server
import json
import os
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

BLOB = bytes(range(256)) * 2000  # 512000 bytes: several reads, does not divide a buffer
BLOB_ETAG = '"%s"' % hashlib.sha256(BLOB).hexdigest()
COMMIT = "0123456789abcdef0123456789abcdef01234567"

lock = threading.Lock()
log = []
seen = {}


def count(key):
    """How often this key was asked for before."""
    with lock:
        seen[key] = seen.get(key, 0) + 1
        return seen[key] - 1


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 10

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            pass  # clients of these specs leave early on purpose

    def record(self, body):
        with lock:
            log.append({
                "method": self.command,
                "path": self.path,
                "host": self.headers.get("Host"),
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "body": body.decode("latin-1"),
            })

    def dispatch(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urllib.parse.urlsplit(self.path)
        if url.scheme:  # asked as a proxy
            self.record(body)
            return self.reply(200, b"through the proxy")
        parts = url.path.strip("/").split("/")
        if parts == ["quit"]:
            self.reply(200)
            return self.server.stopped.set()
        if parts == ["log"]:
            with lock:
                data, log[:] = json.dumps(log).encode(), []
            return self.reply(200, data)
        self.record(body)
        self.query = dict(urllib.parse.parse_qsl(url.query))
        self.body = body
        route = ROUTES.get(parts[0], Handler.hub)
        route(self, *parts[1:]) if route is not Handler.hub else route(self, *parts)

    do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = dispatch

    def reply(self, status, body=b"", **headers):
        self.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(name.replace("_", "-"), one)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def reset(self):
        """Ends the connection with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_now()

    def close_now(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.close()

    # -- plain behaviours --------------------------------------------------------------------------

    def echo(self, *_):
        self.reply(200, self.body, X_Method=self.command, X_Repeated=["one", "two"], X_MiXeD="Case")

    def status(self, code):
        self.reply(int(code), b"status " + code.encode())

    def flaky(self, key, times, code):
        """Fails `times` times with `code` ("close", "reset" or a status), then works."""
        if count(key) >= int(times):
            return self.reply(200, b"recovered")
        if code == "close":
            return self.close_now()
        if code == "reset":
            return self.reset()
        headers = {}
        if "retry_after" in self.query:
            headers["Retry_After"] = self.query["retry_after"]
        if "retry_date" in self.query:
            headers["Retry_After"] = email.utils.formatdate(time.time() + float(self.query["retry_date"]), usegmt=True)
        self.reply(int(code), b"not now", **headers)

    def redirect(self, code="302"):
        """To the address in ?to=."""
        self.reply(int(code), b"elsewhere", Location=self.query["to"])

    def loop(self, number="0"):
        self.reply(302, Location="/loop/%d" % (int(number) + 1))

    def slow(self, seconds):
        time.sleep(float(seconds))
        self.reply(200, b"at last")

    def drip(self, pieces, seconds):
        """A byte every `seconds`."""
        self.send_response(200)
        self.send_header("Content-Length", pieces)
        self.end_headers()
        for _ in range(int(pieces)):
            self.wfile.write(b".")
            self.wfile.flush()
            time.sleep(float(seconds))

    def early(self):
        """Promises more than it sends."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)
        self.close_now()

    def silent(self):
        self.close_now()

    def garbage(self):
        self.wfile.write(b"\x00\x01 this is not http \xff\r\n\r\n")
        self.close_now()

    def gzipped(self):
        self.reply(200, gzip.compress(b"z" * 100000), Content_Encoding="gzip")

    def bigheader(self):
        self.send_response(200)
        for i in range(90):
            self.send_header("X-Long-%d" % i, "h" * 30000)
        self.end_headers()

    def auth(self):
        wanted = "Basic " + base64.b64encode(b"user:pa ss").decode()
        self.reply(200 if self.headers.get("Authorization") == wanted else 401, b"auth")

    # -- files -------------------------------------------------------------------------------------

    def range_start(self, etag):
        """Where the client asks to go on; 0 for the whole, as If-Range has it."""
        wanted = self.headers.get("Range")
        if not wanted or self.headers.get("If-Range", etag) != etag:
            return 0
        return int(wanted[len("bytes="):].split("-")[0])

    def blob(self, mode="plain", key=""):
        """BLOB with ranges; `mode` says what goes wrong."""
        etag = BLOB_ETAG
        if mode == "changed" and count(key) > 0:
            etag = '"another"'
        if self.headers.get("If-None-Match") == etag:
            return self.reply(304, ETag=etag)
        start = 0 if mode == "noranges" else self.range_start(etag)
        if mode == "416" and start > 0:
            return self.reply(416, Content_Range="bytes */%d" % len(BLOB))
        if mode == "wrongrange" and start > 0:
            start -= 1
        data = BLOB[start:]
        self.send_response(206 if start > 0 else 200)
        self.send_header("Content-Length", str(len(data)))
        if mode != "noetag":
            self.send_header("ETag", etag)
        if start > 0:
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, len(BLOB) - 1, len(BLOB)))
        self.end_headers()
        if key and count("cut " + key) == 0:  # the first time, half of it
            self.wfile.write(data[: len(data) // 2])
            return self.close_now()
        if self.command != "HEAD":
            self.wfile.write(data)

    # -- a HuggingFace hub ---------------------------------------------------------------------------

    def cdn(self, name, mode="plain"):
        if self.headers.get("Authorization"):
            return self.reply(400, b"a token came to the wrong host")
        data = HUB_FILES[name]
        if mode == "early":
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:5])
            return self.close_now()
        if mode == "html":
            return self.reply(200, b"<!DOCTYPE html><html>a portal</html>")
        self.reply(200, data)

    def hub(self, *parts):
        """[datasets/]ORG/NAME/resolve/REVISION/FILE; NAME says how the hub behaves."""
        if parts[0] == "datasets":
            parts = parts[1:]
        if len(parts) < 5 or parts[2] != "resolve":
            return self.reply(404)
        name, revision, file = parts[1], urllib.parse.unquote(parts[3]), "/".join(parts[4:])
        behave = HUB.get(name, Handler.hub_plain)
        behave(self, name, revision, file)

    def hub_headers(self, data, etag=None):
        return {"X_Repo_Commit": COMMIT, "ETag": '"%s"' % (etag or hashlib.sha1(data).hexdigest())}

    def hub_plain(self, name, revision, file):
        if name == "moved-old":
            return self.reply(307, Location=self.path.replace("moved-old", "plain"))
        if revision not in ("main", COMMIT, "refs/pr/1", "v1.0"):
            return self.reply(404, X_Error_Code="RevisionNotFound", X_Repo_Commit=COMMIT)
        if file not in HUB_FILES:
            return self.reply(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        data = HUB_FILES[file]
        if name.startswith("garbage"):
            data = b"<!DOCTYPE html><html>a portal</html>"
        if name.startswith("notjson"):
            data = b'{"a": 1,\n "b": oops}'
        self.reply(200, data, **self.hub_headers(data))

    def hub_lfs(self, name, revision, file):
        """Large files are elsewhere: the redirect carries what is known of them."""
        data = HUB_FILES[file]
        sha256 = hashlib.sha256(data).hexdigest()
        port = self.server.server_address[1]
        mode = {"lfs-early": "/early", "lfs-html": "/html"}.get(name, "")
        self.reply(302, X_Repo_Commit=COMMIT, X_Linked_Etag='"%s"' % sha256, X_Linked_Size=str(len(data)),
                   Location="http://localhost:%d/cdn/%s%s?X-Signature=s3cret" % (port, file, mode))

    def hub_error(self, name, revision, file):
        code = int(name.split("-")[1])
        token = self.headers.get("Authorization")
        if code in (401, 403) and token == "Bearer hf_good":
            return self.hub_plain("plain", revision, file)
        known = {401: "GatedRepo", 403: "GatedRepo", 404: "RepoNotFound"}
        headers = {"X_Error_Code": known[code]} if code in known else {}
        self.reply(code, b"no", **headers)

    def hub_busy(self, name, revision, file):
        """429 the first time."""
        if count(name) == 0:
            return self.reply(429, Retry_After="0")
        self.hub_plain(name, revision, file)

    def hub_once(self, name, revision, file):
        """Works for a HEAD and a GET, then fails with 500."""
        if count(name) < 2:
            return self.hub_plain(name, revision, file)
        self.reply(500)

    def hub_tiny(self, name, revision, file):
        """A whole config; "tiny-flaky" and "tiny-closing" come back after failing twice."""
        if name != "tiny" and count(name) < 2:
            return self.close_now() if name == "tiny-closing" else self.reply(503)
        if file != "config.json":
            return self.reply(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        self.reply(200, TINY_CONFIG, **self.hub_headers(TINY_CONFIG))

    def hub_closing(self, *_):
        self.close_now()

    def hub_portal(self, *_):
        self.reply(200, b"<html>log in to the network</html>")

    def hub_slow(self, *_):
        time.sleep(1)
        self.reply(200)

    def hub_hostile(self, name, revision, file):
        data = HUB_FILES[file]
        headers = self.hub_headers(data, "../../../evil")
        self.reply(200, data, **headers)


    # -- the hub's API for writing -------------------------------------------------------------------

    def api(self, kind, org, name, verb, *_):
        """Preupload and commit of a dataset; one called VERB-STATUS refuses that, with "html" it answers a page."""
        refused, _, how = name.partition("-")
        if refused == verb:
            return self.reply(200, b"<html>log in</html>") if how == "html" else self.reply(int(how), b'{"error": "no"}')
        if verb == "preupload":
            files = json.loads(self.body)["files"]
            modes = [{"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular"}
                     for f in files]
            return self.reply(200, json.dumps({"files": modes}).encode())
        commit = [json.loads(line) for line in self.body.decode().splitlines()]
        stored = all(blobs.get(e["value"]["oid"], b"") and len(blobs[e["value"]["oid"]]) == e["value"]["size"]
                     for e in commit if e["key"] == "lfsFile")
        if not stored or self.query.get("create_pr") != "1":
            return self.reply(400, b'{"error": "a large file was not uploaded"}')
        url = "http://%s/datasets/%s/%s/discussions/7" % (self.headers["Host"], org, name)
        self.reply(200, json.dumps({"pullRequestUrl": url}).encode())

    def datasets(self, org, name, *rest):
        """Where large files are asked about, and where they are put; files of a dataset are the hub's."""
        if rest[0] == "resolve":
            return self.hub("datasets", org, name, *rest)
        if rest[0] == "put":
            if hashlib.sha256(self.body).hexdigest() != rest[1]:
                return self.reply(400)
            blobs[rest[1]] = self.body
            return self.reply(200)
        if name.startswith("lfs-"):
            return self.reply(int(name[4:].removesuffix(".git")), b'{"message": "no"}')
        oid = json.loads(self.body)["objects"][0]["oid"]
        href = "http://%s/datasets/%s/x/put/%s" % (self.headers["Host"], org, oid)
        self.reply(200, json.dumps({"objects": [{"oid": oid, "actions": {"upload": {"href": href}}}]}).encode())


blobs = {}
ROUTES = {name: getattr(Handler, name) for name in (
    "echo status flaky redirect loop slow drip early silent garbage gzipped bigheader auth blob cdn api datasets").split()}

HUB_FILES = {
    "config.json": b'{"model_type": "llama", "rope": Infinity, "hidden_size": 16}',
    "tokenizer/vocab.txt": b"one\ntwo\n",
    "weights.bin": BLOB,
    "empty.txt": b"",
}
TINY_CONFIG = b"""{
  "architectures": ["TinyForCausalLM"], "model_type": "tiny", "hidden_size": 64, "num_attention_heads": 8,
  "num_key_value_heads": 2, "num_hidden_layers": 2, "intermediate_size": 96, "rms_norm_eps": 1e-05,
  "vocab_size": 100, "torch_dtype": "bfloat16"
}
"""
HUB = {
    "tiny": Handler.hub_tiny, "tiny-flaky": Handler.hub_tiny, "tiny-closing": Handler.hub_tiny,
    "lfs": Handler.hub_lfs, "lfs-early": Handler.hub_lfs, "lfs-html": Handler.hub_lfs,
    "busy": Handler.hub_busy, "closing": Handler.hub_closing, "portal": Handler.hub_portal,
    "slow": Handler.hub_slow, "hostile": Handler.hub_hostile,
    "error-401": Handler.hub_error, "error-403": Handler.hub_error, "error-404": Handler.hub_error,
    "error-429": Handler.hub_error, "error-500": Handler.hub_error,
    "once": Handler.hub_once,
}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    stopped = threading.Event()

    def handle_error(self, *_):
        pass  # a client that left is no news


def main():
    server = Server(("127.0.0.1", 0), Handler)
    if sys.argv[1:2] == ["--tls"]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[2], sys.argv[3])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    parent = os.getppid()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    while not server.stopped.wait(0.2) and os.getppid() == parent:
        pass


main()
