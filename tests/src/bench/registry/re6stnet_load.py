"""Load for re6stnet's registry, made by re6stnet's own client.

usage: re6stnet_load.py URL CA DIRECTORY enrol COUNT CLIENTS   newcomers without a token
       re6stnet_load.py URL CA DIRECTORY fetch SECONDS         a node that fetches the network's parameters
Prints how many, and the seconds they took.
"""
import sys
import threading
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from re6st.registry import RegistryClient
from re6st.x509 import Cert

url, ca, directory, what, amount = sys.argv[1:6]
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Benchmark")])
request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA512())
request = request.public_bytes(serialization.Encoding.PEM).decode()


def enrol():
    certificate = RegistryClient(url).requestCertificate("", request)
    if not certificate or not certificate.startswith(b"-----BEGIN CERTIFICATE"):
        sys.exit(f"no certificate but {certificate!r}")
    return certificate


def enrol_many(count, clients):
    threads = [threading.Thread(target=lambda: [enrol() for _ in range(count // clients)]) for _ in range(clients)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return count // clients * clients, time.monotonic() - begin


def fetch_for(seconds):
    paths = directory + "/load.key", directory + "/load.crt"
    encoding, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    with open(paths[0], "wb") as file:
        file.write(key.private_bytes(encoding, pkcs8, serialization.NoEncryption()))
    with open(paths[1], "wb") as file:
        file.write(enrol())
    certificate = Cert(ca, *paths)
    client = RegistryClient(url, certificate, auto_close=False)
    done, begin = 0, time.monotonic()
    while time.monotonic() < begin + seconds:
        if not client.getNetworkConfig(certificate.prefix):
            sys.exit("no parameters")
        done += 1
    return done, time.monotonic() - begin


if what == "enrol":
    print(*enrol_many(int(amount), int(sys.argv[6])))
else:
    print(*fetch_for(float(amount)))
