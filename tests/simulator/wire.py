"""Both providers' request formats once more, written for these tests: a third opinion beside adapter and simulator."""

import base64
import json
import secrets
import time
from datetime import datetime, timedelta, timezone
from urllib.parse import urlencode

import requests
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

CHINA = timezone(timedelta(hours=8))


def sign(private_pem: str, text: bytes) -> str:
    key = serialization.load_pem_private_key(private_pem.encode(), None)
    return base64.b64encode(key.sign(text, padding.PKCS1v15(), hashes.SHA256())).decode()


def is_signed(public_pem: str, text: bytes, signature: str) -> bool:
    key = serialization.load_pem_public_key(public_pem.encode())
    try:
        key.verify(base64.b64decode(signature), text, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True


def public_of(certificate_pem: str) -> str:
    from cryptography import x509

    key = x509.load_pem_x509_certificate(certificate_pem.encode()).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def wechat(credentials, method: str, path: str, document=None, **about) -> requests.Response:
    """One signed call. `about`: sign_path, timestamp, serial_no, mchid, headers, private_key of another request."""
    body = b"" if document is None else json.dumps(document).encode()
    timestamp, nonce = about.get("timestamp", str(int(time.time()))), secrets.token_hex(16)
    text = f"{method}\n{about.get('sign_path', path)}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"
    signature = sign(about.get("private_key", credentials["private_key"]), text)
    fields = {
        "mchid": about.get("mchid", credentials["mchid"]), "nonce_str": nonce, "signature": signature,
        "timestamp": timestamp, "serial_no": about.get("serial_no", credentials["serial_no"]),
    }  # fmt: skip
    headers = {
        "Authorization": "WECHATPAY2-SHA256-RSA2048 " + ",".join(f'{name}="{value}"' for name, value in fields.items()),
        "Accept": "application/json",
        "User-Agent": "test",
        **({"Content-Type": "application/json"} if body else {}),
        **about.get("headers", {}),
    }
    return requests.request(method, credentials["base_url"] + path, data=body, headers=headers, timeout=10)


def wechat_order(credentials, number: str, **changes) -> dict:
    return {
        "appid": credentials["appid"], "mchid": credentials["mchid"], "description": "60 宝石", "out_trade_no": number,
        "notify_url": "http://127.0.0.1:9/notify", "amount": {"total": 600, "currency": "CNY"}, **changes,
    }  # fmt: skip


def wechat_answer_is_signed(credentials, response: requests.Response) -> bool:
    """By the key that the answer names."""
    said = {name.lower(): value for name, value in response.headers.items()}
    text = f"{said['wechatpay-timestamp']}\n{said['wechatpay-nonce']}\n".encode() + response.content + b"\n"
    is_public_key = said["wechatpay-serial"] == credentials["public_key_id"]
    key = credentials["public_key"] if is_public_key else public_of(credentials["platform_certificates"][0])
    return is_signed(key, text, said["wechatpay-signature"])


def alipay_parameters(credentials, method: str, terms: dict, **changes) -> dict:
    """The signed parameters of a call; `changes` are made before signing, `after` afterwards."""
    after = changes.pop("after", {})
    private_key = changes.pop("private_key", credentials["app_private_key"])
    parameters = {
        "app_id": credentials["app_id"], "method": method, "format": "JSON", "charset": "utf-8", "sign_type": "RSA2",
        "timestamp": datetime.now(CHINA).strftime("%Y-%m-%d %H:%M:%S"), "version": "1.0",
        "notify_url": "http://127.0.0.1:9/notify", "biz_content": json.dumps(terms, ensure_ascii=False), **changes,
    }  # fmt: skip
    text = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters) if parameters[name])
    return {**parameters, "sign": sign(private_key, text.encode()), **after}


def alipay(credentials, method: str, terms: dict, **changes) -> dict:
    """One call; the answered node, whose signature has been checked when there is one."""
    parameters = alipay_parameters(credentials, method, terms, **changes)
    response = requests.post(f"{credentials['gateway']}?charset=utf-8", data=parameters, timeout=10)
    assert response.status_code == 200
    document = response.json()
    if "error_response" in document:
        return document["error_response"]
    name = method.replace(".", "_") + "_response"
    start = response.text.index(f'"{name}":') + len(name) + 3
    node, end = json.JSONDecoder().raw_decode(response.text, start)
    assert is_signed(credentials["alipay_public_key"], response.text[start:end].encode(), document["sign"])
    return node


def order_string(credentials, method: str, terms: dict, **changes) -> str:
    return urlencode(alipay_parameters(credentials, method, terms, **changes))
