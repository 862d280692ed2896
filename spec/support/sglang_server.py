"""A stand-in for SGLang's server: /health, /generate, and dumps of decode steps as FlashInfer would log them.

sglang_server.py --port PORT [--fault never-healthy|dies|refuses|floods|babbles|hangs|overruns|slow]
`dies` ends it at the fifth request, `refuses` answers 500 to every third, `floods` says very much before it is healthy
and `babbles` at every request, `hangs` never answers the second one, `overruns` dumps past FlashInfer's limit."""

import argparse
import http.server
import json
import os
import socketserver
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from flashinfer_dumps import Log  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int)
parser.add_argument("--fault", default="")
options = parser.parse_args()
folder = os.environ["FLASHINFER_DUMP_DIR"]
assert os.environ["FLASHINFER_LOGLEVEL"] == "10" and os.environ["FLASHINFER_DUMP_SAFETENSORS"] == "1"
log = Log(folder, os.getpid())
lock = threading.Lock()
state = {"requests": 0, "running": 0, "most": 0}
started = time.time()
limit = float(os.environ["FLASHINFER_DUMP_MAX_SIZE_GB"]) * 2**30
state["dumped"] = 0


def say(text):
    """Into FlashInfer's log, which may be on the disk that is full."""
    try:
        with open(os.environ["FLASHINFER_LOGDEST"].replace("%i", str(os.getpid())), "a") as file:
            file.write(text + "\n")
    except OSError:
        pass


def dump(lengths, seed):
    """A decode step, as far as FlashInfer would dump it."""
    size = 2 * 2 * 8 * 128 * (sum(lengths) + 3)
    if state["dumped"] + size > limit and options.fault != "overruns":
        return say("WARNING - Dump size limit reached (%s GB). Skipping dump for %s. Increase FLASHINFER_DUMP_MAX_SIZE_GB if needed."
                   % (os.environ["FLASHINFER_DUMP_MAX_SIZE_GB"], "BatchDecodeWithPagedKVCacheWrapper.run"))
    state["dumped"] += size
    try:
        log.decode(lengths, seed=seed)
    except OSError as error:
        say("ERROR - Failed to dump function call BatchDecodeWithPagedKVCacheWrapper.run: %s" % error)


print("starting", flush=True)
if options.fault == "floods":
    for _ in range(200):
        sys.stdout.write("x" * 65536 + "\n")
    sys.stdout.flush()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        healthy = options.fault != "never-healthy" and time.time() - started > 0.3
        if self.path == "/health":
            return self.reply(200 if healthy else 503, {})
        if self.path == "/state":
            return self.reply(200, state)
        return self.reply(404, {})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with lock:
            state["requests"] += 1
            number = state["requests"]
            state["running"] += 1
            state["most"] = max(state["most"], state["running"])
        if options.fault == "dies" and number == 5:
            print("CUDA error: an illegal memory access was encountered", flush=True)
            os._exit(3)
        time.sleep(600 if options.fault == "hangs" and number == 2 else 0.05)
        if options.fault == "babbles":
            sys.stdout.write("x" * 3000000 + "\n")
            sys.stdout.flush()
        with lock:
            batch, state["running"] = state["running"], state["running"] - 1
            if not (options.fault == "refuses" and number % 3 == 0):
                words = len(body["text"].split())
                dump([words + i for i in range(batch)], number)
        if options.fault == "refuses" and number % 3 == 0:
            return self.reply(500, {"error": "out of memory"})
        return self.reply(200, {"text": "a b c", "meta_info": {"completion_tokens": body["sampling_params"]["max_new_tokens"]}})


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 256


Server(("127.0.0.1", options.port), Handler).serve_forever()
