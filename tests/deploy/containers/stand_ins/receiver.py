"""Stands for a phone tool: prints the id and body of every webhook as one line, and says 200."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver(BaseHTTPRequestHandler):
    """Answers every POST."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        line = json.dumps({"id": self.headers["webhook-id"], "body": json.loads(body)})
        os.write(1, f"{line}\n".encode())  # at once: several threads share the log
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """The lines of our own are the log."""


ThreadingHTTPServer(("", 8080), Receiver).serve_forever()
