# SPDX-License-Identifier: Apache-2.0
"""A merchant of WeChat Pay who knows only what is published: signs his requests, checks every answer's signature, is
notified, and opens what is encrypted for him. Signing is left to the openssl command, AES-GCM to libcrypto."""
import base64
import collections
import ctypes
import ctypes.util
import http.server
import json
import os
import secrets
import threading
import time

from harness import call

CRYPTO = ctypes.CDLL(ctypes.util.find_library("crypto"))
for function in ("EVP_CIPHER_CTX_new", "EVP_aes_256_gcm", "EVP_sha256", "EVP_MD_CTX_new", "BIO_new_mem_buf", "PEM_read_bio_PrivateKey",
                 "PEM_read_bio_PUBKEY"):
    getattr(CRYPTO, function).restype = ctypes.c_void_p
GCM_GET_TAG, GCM_SET_TAG = 0x10, 0x11
_keys = {}


def key(file, is_private):
    """Kept: a test asks for the same two all the time."""
    if file not in _keys:
        with open(file, "rb") as f:
            pem = f.read()
        bio = ctypes.c_void_p(CRYPTO.BIO_new_mem_buf(pem, len(pem)))
        read = CRYPTO.PEM_read_bio_PrivateKey if is_private else CRYPTO.PEM_read_bio_PUBKEY
        _keys[file] = ctypes.c_void_p(read(bio, None, None, None))
        CRYPTO.BIO_free(bio)
        assert _keys[file].value, f"{file} is no such key"
    return _keys[file]


def sign(key_file, data):
    """SHA256withRSA, base64."""
    c, n = ctypes.c_void_p(CRYPTO.EVP_MD_CTX_new()), ctypes.c_size_t(1024)
    out = ctypes.create_string_buffer(n.value)
    good = (CRYPTO.EVP_DigestSignInit(c, None, ctypes.c_void_p(CRYPTO.EVP_sha256()), None, key(key_file, True)) == 1
            and CRYPTO.EVP_DigestSign(c, out, ctypes.byref(n), data, ctypes.c_size_t(len(data))) == 1)
    CRYPTO.EVP_MD_CTX_free(c)
    assert good, f"cannot sign with {key_file}"
    return base64.b64encode(out.raw[:n.value]).decode()


def verifies(public_key_file, data, signature):
    try:
        raw = base64.b64decode(signature, validate=True)
    except ValueError:
        return False
    c = ctypes.c_void_p(CRYPTO.EVP_MD_CTX_new())
    good = (CRYPTO.EVP_DigestVerifyInit(c, None, ctypes.c_void_p(CRYPTO.EVP_sha256()), None, key(public_key_file, False)) == 1
            and CRYPTO.EVP_DigestVerify(c, raw, ctypes.c_size_t(len(raw)), data, ctypes.c_size_t(len(data))) == 1)
    CRYPTO.EVP_MD_CTX_free(c)
    return good


def seal(key, plain, nonce, associated):
    """AES-256-GCM with the APIv3 key: the ciphertext with its tag behind it, in base64."""
    c, n = ctypes.c_void_p(CRYPTO.EVP_CIPHER_CTX_new()), ctypes.c_int()
    out, tag = ctypes.create_string_buffer(len(plain) + 16), ctypes.create_string_buffer(16)
    CRYPTO.EVP_EncryptInit_ex(c, ctypes.c_void_p(CRYPTO.EVP_aes_256_gcm()), None, key, nonce.encode())
    CRYPTO.EVP_EncryptUpdate(c, None, ctypes.byref(n), associated.encode(), len(associated))
    CRYPTO.EVP_EncryptUpdate(c, out, ctypes.byref(n), plain, len(plain))
    CRYPTO.EVP_EncryptFinal_ex(c, None, ctypes.byref(n))
    CRYPTO.EVP_CIPHER_CTX_ctrl(c, GCM_GET_TAG, 16, tag)
    CRYPTO.EVP_CIPHER_CTX_free(c)
    return base64.b64encode(out.raw[:len(plain)] + tag.raw).decode()


def gcm_open(key, nonce, associated_data, sealed):
    """The plain bytes, or None when key, nonce, associated data or tag are not what they were."""
    c = ctypes.c_void_p(CRYPTO.EVP_CIPHER_CTX_new())
    text, tag = sealed[:-16], sealed[-16:]
    out, n = ctypes.create_string_buffer(len(text) + 16), ctypes.c_int()
    good = (CRYPTO.EVP_DecryptInit_ex(c, ctypes.c_void_p(CRYPTO.EVP_aes_256_gcm()), None, key, nonce) == 1
            and CRYPTO.EVP_DecryptUpdate(c, None, ctypes.byref(n), associated_data, len(associated_data)) == 1
            and CRYPTO.EVP_DecryptUpdate(c, out, ctypes.byref(n), text, len(text)) == 1
            and CRYPTO.EVP_CIPHER_CTX_ctrl(c, GCM_SET_TAG, 16, tag) == 1
            and CRYPTO.EVP_DecryptFinal_ex(c, out, ctypes.byref(ctypes.c_int())) == 1)
    CRYPTO.EVP_CIPHER_CTX_free(c)
    return out.raw[:n.value] if good else None


class Merchant:
    def __init__(self, url, keys):
        self.url, self.keys = url, keys
        with open(self.path("sandbox.json"), encoding="utf-8") as f:
            self.identity = json.load(f)
        self.mchid, self.appid = self.identity["mchid"], self.identity["appid"]
        with open(self.path("apiv3_key"), "rb") as f:
            self.apiv3_key = f.read()
        with open(self.path("app_secret"), encoding="ascii") as f:
            self.app_secret = f.read()

    def path(self, file):
        return os.path.join(self.keys, file)

    def authorization(self, method, target, body, *, at=None, serial=None, mchid=None, nonce=None, key="merchant_private_key.pem"):
        at, nonce = str(int(time.time()) if at is None else at), nonce or secrets.token_hex(16)
        text = f"{method}\n{target}\n{at}\n{nonce}\n".encode() + body + b"\n"
        fields = {"mchid": mchid or self.mchid, "nonce_str": nonce, "timestamp": at,
                  "serial_no": serial or self.identity["merchant_serial"], "signature": sign(self.path(key), text)}
        return "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{k}="{v}"' for k, v in fields.items())

    def is_genuine(self, headers, body):
        """Whether the platform signed this answer or notice, under one of its two names, just now."""
        h = {k.lower(): v for k, v in headers.items()}
        if h.get("wechatpay-serial") not in (self.identity["platform_serial"], self.identity["platform_key_id"]):
            return False
        if abs(time.time() - int(h["wechatpay-timestamp"])) > 300:
            return False
        text = f"{h['wechatpay-timestamp']}\n{h['wechatpay-nonce']}\n".encode() + body + b"\n"
        return verifies(self.path("platform_public_key.pem"), text, h["wechatpay-signature"])

    def ask(self, method, target, body=None, serial=None, authorization=None, timeout=15):
        """One signed call. Every answer has to be signed, and JSON unless it is empty."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        headers = {"Accept": "application/json", "Authorization": authorization or self.authorization(method, target, data)}
        if serial is not None:
            headers["Wechatpay-Serial"] = serial
        answer = call(self.url, method, target, None if body is None else data, headers, timeout)
        assert self.is_genuine(answer.headers, answer.body), f"{method} {target}: not signed: {answer!r} {answer.headers}"
        assert answer.headers["Request-ID"], answer.headers
        if answer.body:
            assert answer.headers["Content-Type"].startswith("application/json"), answer.headers
            assert isinstance(answer.json, dict), repr(answer)
        return answer

    def order(self, number, total=100, **more):
        """The members of an order; None leaves one out."""
        body = {"appid": self.appid, "mchid": self.mchid, "description": "绿茶 tea", "out_trade_no": number,
                "notify_url": "http://127.0.0.1:1/notify", "amount": {"total": total, "currency": "CNY"}, **more}
        return {k: v for k, v in body.items() if v is not None}

    def native(self, number, total=100, **more):
        answer = self.ask("POST", "/v3/pay/transactions/native", self.order(number, total, **more))
        assert answer.status == 200, repr(answer)
        return answer.json["code_url"]

    def query(self, number):
        return self.ask("GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={self.mchid}")

    def close(self, number):
        return self.ask("POST", f"/v3/pay/transactions/out-trade-no/{number}/close", {"mchid": self.mchid})

    def refund(self, number, out_refund_no, amount, total=100, **more):
        return self.ask("POST", "/v3/refund/domestic/refunds",
                        {"out_trade_no": number, "out_refund_no": out_refund_no,
                         "amount": {"refund": amount, "total": total, "currency": "CNY"}, **more})

    def refund_query(self, out_refund_no):
        return self.ask("GET", f"/v3/refund/domestic/refunds/{out_refund_no}")

    def pay_sign(self, prepay_id, **spoil):
        """What a page hands to WeChat's bridge."""
        it = {"appId": self.appid, "timeStamp": str(int(time.time())), "nonceStr": secrets.token_hex(16), "package": f"prepay_id={prepay_id}",
              "signType": "RSA"}
        it["paySign"] = sign(self.path("merchant_private_key.pem"),
                             f"{it['appId']}\n{it['timeStamp']}\n{it['nonceStr']}\n{it['package']}\n".encode())
        return {**it, **spoil}

    def open_resource(self, resource):
        assert resource["algorithm"] == "AEAD_AES_256_GCM", resource
        plain = gcm_open(self.apiv3_key, resource["nonce"].encode(), resource["associated_data"].encode(),
                         base64.b64decode(resource["ciphertext"], validate=True))
        assert plain is not None, "the resource cannot be opened"
        return plain


class Shop:
    """The merchant's own server: takes notices, and shows the pages a test puts into `pages`: a function of the request's
    handler for each path, which returns status, headers and body."""

    def __init__(self):
        self.notices, self.notices_at, self.reply, self.pages = [], collections.defaultdict(list), 200, {}
        shop = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self, status, headers=(), body=b""):
                self.send_response(status)
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                try:
                    self.wfile.write(body)
                except OSError:
                    pass  # who asked has heard enough

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                notice = (dict(self.headers.items()), body)
                shop.notices.append(notice)
                shop.notices_at[self.path].append(notice)
                self.answer(shop.reply)

            def do_GET(self):
                page = shop.pages.get(self.path.partition("?")[0])
                self.answer(*(page(self) if page else (404, {}, b"nothing here")))

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.httpd.shutdown()
        self.httpd.server_close()
