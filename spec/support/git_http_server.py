"""Serve a folder of git repositories to whoever gives user and password: git_http_server.py FOLDER USER:PASSWORD"""

import base64
import functools
import http.server
import sys

folder, secret = sys.argv[1:]
WANTED = "Basic " + base64.b64encode(secret.encode()).decode()


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.headers.get("Authorization") == WANTED:
            return super().do_GET()
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="spec"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
print(server.server_port, flush=True)
server.serve_forever()
