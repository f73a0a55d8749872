"""Prints a token for a customer, signed with the key in jwks.json. For trying it only."""

import base64
import hashlib
import hmac
import json
import pathlib
import sys
import time


def encode(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


key = json.loads(pathlib.Path(__file__).with_name("jwks.json").read_text())["keys"][0]
secret = base64.urlsafe_b64decode(key["k"] + "=" * (-len(key["k"]) % 4))
header = {"alg": key["alg"], "kid": key["kid"], "typ": "JWT"}
claims = {
    "iss": "https://login.example",
    "aud": "app",
    "sub": sys.argv[1],
    "exp": int(time.time()) + 3600,
}
text = ".".join(encode(json.dumps(part).encode()) for part in (header, claims))
signature = hmac.new(secret, text.encode(), hashlib.sha256).digest()
print(f"{text}.{encode(signature)}")
