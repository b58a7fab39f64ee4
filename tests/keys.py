"""Keys of invented merchants and providers, made once per test run, and credentials files that carry them."""

import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

# Nobody listens here: a test that talks to a provider brings its own address.
NOWHERE = "http://127.0.0.1:9"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """The private key of somebody, the same for the whole run: `key("wechat platform")`."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_pem(name: str) -> str:
    """PKCS#8 PEM."""
    return (
        key(name)
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


def public_pem(name: str) -> str:
    """SubjectPublicKeyInfo PEM."""
    return (
        key(name)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


@cache
def certificate(name: str, *, issuer: str = "", serial: int = 0x5A17) -> x509.Certificate:
    """A certificate of somebody's key, signed by `issuer`'s (default: by itself)."""
    now = datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    by = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer or name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by)
        .public_key(key(name).public_key())
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=not issuer, path_length=None), critical=True)
        .sign(key(issuer or name), hashes.SHA256())
    )


def certificate_pem(name: str, **about) -> str:
    """PEM of `certificate`."""
    return certificate(name, **about).public_bytes(serialization.Encoding.PEM).decode()


def wechat_credentials(**changes: object) -> dict[str, object]:
    """A WeChat Pay merchant in public-key mode."""
    return {
        "mchid": "1900000109",
        "appid": "wxd678efh567hg6787",
        "serial_no": "5157F09EFDC096DE15EBE81A47057A7232F1B8E1",
        "private_key": private_pem("wechat merchant"),
        "api_v3_key": "0123456789abcdef0123456789ABCDEF",
        "public_key_id": "PUB_KEY_ID_0000000000000024101100397200000006",
        "public_key": public_pem("wechat platform"),
        "base_url": NOWHERE,
        **changes,
    }


def alipay_credentials(**changes: object) -> dict[str, object]:
    """An Alipay merchant in public-key mode."""
    return {
        "app_id": "2021000000000001",
        "seller_id": "2088000000000001",
        "app_private_key": private_pem("alipay merchant"),
        "alipay_public_key": public_pem("alipay"),
        "gateway": f"{NOWHERE}/gateway.do",
        **changes,
    }
