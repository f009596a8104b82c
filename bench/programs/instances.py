# For gunicorn, as its configuration and as its application: the same work as instances.ts.
import hashlib
import os


def post_worker_init(worker):
    print("ready", flush=True)


def app(environ, start_response):
    if environ["PATH_INFO"] == "/work":
        hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 3000, 32)
    body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
