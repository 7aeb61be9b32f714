#!/usr/bin/env python3
"""Test vectors of the secure channel, made from docs/protocol.md alone.

Independent of re6st-ebpf's own code and libraries: Noise IK is written out here by the Noise specification (revision 34),
SipHash by its paper, HKDF by RFC 5869; BLAKE2s and HMAC are Python's own, X25519 and ChaCha20-Poly1305 those of `cryptography`.

    python3 -m venv venv && venv/bin/pip install cryptography
    venv/bin/python docs/vectors/channel.py > docs/vectors/channel.json
"""

import hashlib
import hmac
import ipaddress
import json
import struct

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305


# --- primitives ---------------------------------------------------------------------------------------------------------

def public(private):
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def dh(private, peer):
    return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(peer))


def blake2s(*parts):
    return hashlib.blake2s(b"".join(parts)).digest()


def hmac_blake2s(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.blake2s).digest()


def aead(key, counter, associated, text):
    return ChaCha20Poly1305(key).encrypt(b"\0\0\0\0" + struct.pack("<Q", counter), text, associated)


def siphash(key, message):
    mask = (1 << 64) - 1

    def left(word, bits):
        return (word << bits | word >> (64 - bits)) & mask

    def sip_round(v):
        v[0] = (v[0] + v[1]) & mask
        v[1] = left(v[1], 13) ^ v[0]
        v[0] = left(v[0], 32)
        v[2] = (v[2] + v[3]) & mask
        v[3] = left(v[3], 16) ^ v[2]
        v[0] = (v[0] + v[3]) & mask
        v[3] = left(v[3], 21) ^ v[0]
        v[2] = (v[2] + v[1]) & mask
        v[1] = left(v[1], 17) ^ v[2]
        v[2] = left(v[2], 32)

    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", padded):
        v[3] ^= word
        sip_round(v)
        sip_round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(4):
        sip_round(v)
    return struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])


assert siphash(bytes(range(16)), bytes(range(15))) == struct.pack("<Q", 0xA129CA6149BE45E5)


# --- Noise IK -----------------------------------------------------------------------------------------------------------

class Symmetric:
    """SymmetricState and CipherState."""

    def __init__(self, name, prologue):
        self.h = name + bytes(32 - len(name)) if len(name) <= 32 else blake2s(name)
        self.ck = self.h
        self.k = None
        self.n = 0
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = blake2s(self.h, data)

    def hkdf(self, material):
        temporary = hmac_blake2s(self.ck, material)
        one = hmac_blake2s(temporary, b"\x01")
        return one, hmac_blake2s(temporary, one, b"\x02")

    def mix_key(self, material):
        self.ck, self.k = self.hkdf(material)
        self.n = 0

    def encrypt(self, text):
        sealed = aead(self.k, self.n, self.h, text)
        self.n += 1
        self.mix_hash(sealed)
        return sealed

    def split(self):
        return self.hkdf(b"")


def handshake(prologue, s_i, e_i, s_r, e_r, payload_1, payload_2):
    """Both messages, and the two outputs of Split."""
    state = Symmetric(b"Noise_IK_25519_ChaChaPoly_BLAKE2s", prologue)
    state.mix_hash(public(s_r))
    # -> e, es, s, ss
    state.mix_hash(public(e_i))
    state.mix_key(dh(e_i, public(s_r)))
    message_1 = public(e_i) + state.encrypt(public(s_i))
    state.mix_key(dh(s_i, public(s_r)))
    message_1 += state.encrypt(payload_1)
    # <- e, ee, se
    state.mix_hash(public(e_r))
    state.mix_key(dh(e_r, public(e_i)))
    state.mix_key(dh(e_r, public(s_i)))
    message_2 = public(e_r) + state.encrypt(payload_2)
    return message_1, message_2, state.split()


# --- the channel --------------------------------------------------------------------------------------------------------

def item(kind, value):
    return struct.pack(">HH", kind, len(value)) + value


def socket_address(address, port):
    ip = ipaddress.ip_address(address)
    return bytes([ip.version]) + ip.packed + struct.pack(">H", port)


def expand(secret, label):
    return hmac_blake2s(secret, label, b"\x01")


def ratchet(secret):
    return expand(secret, b"re6st-ebpf ratchet")


def mix(secret, shared):
    return expand(hmac_blake2s(secret, shared), b"re6st-ebpf post-quantum")


def key(secret):
    return expand(secret, b"re6st-ebpf key")


def transport(secret, epoch, receiver, counter, plaintext):
    label = 0 if epoch == 0 else (epoch - 1) % 255 + 1
    header = struct.pack(">BBHIQ", 4, label, 0, receiver, counter)
    return header + aead(key(secret), counter, header, plaintext)


def cookie(secret, address, port, minute):
    ip = ipaddress.ip_address(address)
    octets = ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed
    return siphash(secret, octets + struct.pack(">HI", port, minute))


def main():
    s_i, e_i, s_r, e_r = (bytes(range(begin, begin + 32)) for begin in (0x10, 0x40, 0x80, 0xC0))
    index_i, index_r = 0x01020304, 0xA0B0C0D0
    certificate_i, certificate_r = b"the initiator's certificate", b"the responder's certificate"
    seen_at = ("192.0.2.7", 4754)

    first = struct.pack(">BBHI", 1, 1, 0, index_i)
    payload_1 = item(1, certificate_i) + item(2, struct.pack(">BI", 1, 3)) + item(5, b"\x01")
    payload_2 = (
        item(1, certificate_r)
        + item(2, struct.pack(">BI", 1, 3))
        + item(3, struct.pack(">I", index_r))
        + item(4, socket_address(*seen_at))
        + item(5, b"\x02")
    )
    message_1, message_2, (from_i, from_r) = handshake(
        b"re6st-ebpf channel 1" + first, s_i, e_i, s_r, e_r, payload_1, payload_2
    )

    mac_key = blake2s(b"re6st-ebpf handshake mac", public(s_r))[:16]
    mac = siphash(mac_key, first + message_1[:32])
    initiation = first + bytes(8) + mac + message_1
    response = struct.pack(">BBHI", 2, 1, 0, index_i) + message_2

    cookie_secret = bytes(range(0xE0, 0xF0))
    cookies = [
        {"address": address, "port": port, "minute": minute, "cookie": cookie(cookie_secret, address, port, minute).hex()}
        for address, port, minute in [("192.0.2.7", 4754, 1), ("2001:db8::7", 50000, 0xFFFFFFFF)]
    ]
    given = bytes.fromhex(cookies[0]["cookie"])

    shared = bytes(range(0x20, 0x40))

    def chain(first_secret, first_epoch):
        """Secrets and keys of 300 epochs from this one on; a few of them are shown."""
        shown = {}
        secret = first_secret
        for epoch in range(first_epoch, 301):
            if epoch in (1, 2, 3, 255, 256, 300):
                shown[str(epoch)] = {"secret": secret.hex(), "key": key(secret).hex()}
            secret = ratchet(secret)
        return shown

    mixed_i, mixed_r = mix(from_i, shared), mix(from_r, shared)
    probe = bytes([2, 0, 8]) + bytes(range(8))
    vectors = {
        "about": "Made by channel.py, from docs/protocol.md. Octets are hexadecimal.",
        "handshake": {
            "initiator_static_private": s_i.hex(),
            "initiator_ephemeral_private": e_i.hex(),
            "responder_static_private": s_r.hex(),
            "responder_ephemeral_private": e_r.hex(),
            "responder_static_public": public(s_r).hex(),
            "initiator_index": index_i,
            "responder_index": index_r,
            "initiator_certificate": certificate_i.hex(),
            "responder_certificate": certificate_r.hex(),
            "seen_at": "%s:%d" % seen_at,
            "payload_1": payload_1.hex(),
            "payload_2": payload_2.hex(),
            "mac_key": mac_key.hex(),
            "mac": mac.hex(),
            "initiation": initiation.hex(),
            "response": response.hex(),
            "secret_0_from_initiator": from_i.hex(),
            "secret_0_from_responder": from_r.hex(),
        },
        "cookie": {
            "secret": cookie_secret.hex(),
            "cookies": cookies,
            "initiation_with_the_first": (initiation[:8] + given + initiation[16:]).hex(),
            "reply_with_the_first": (struct.pack(">BBHI", 3, 1, 0, index_i) + given + mac).hex(),
        },
        "post_quantum": {
            "shared_secret": shared.hex(),
            "from_initiator": chain(mixed_i, 1),
            "from_responder": chain(mixed_r, 1),
        },
        "without_post_quantum": {
            "from_initiator": chain(ratchet(from_i), 1),
            "from_responder": chain(ratchet(from_r), 1),
        },
        "transport": {
            "plaintext": probe.hex(),
            "from_initiator_in_epoch_0_with_counter_0": transport(from_i, 0, index_r, 0, probe).hex(),
            "from_initiator_in_epoch_1_with_counter_1": transport(mixed_i, 1, index_r, 1, probe).hex(),
            "from_responder_in_epoch_0_with_counter_0": transport(from_r, 0, index_i, 0, probe).hex(),
            "from_responder_in_epoch_1_with_counter_1": transport(mixed_r, 1, index_i, 1, probe).hex(),
            "from_responder_in_epoch_2_with_counter_2": transport(ratchet(mixed_r), 2, index_i, 2, probe).hex(),
        },
    }
    print(json.dumps(vectors, indent=2))


main()
