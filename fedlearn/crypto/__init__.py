"""Mathematics of secure sums: Paillier keys over `phe`, a fixed-point codec, packed encrypted vectors.

public, private = generate_keypair(bits=3072)
codec = FixedPoint(bits=24, bound=1.0, addends=100)
total = public.encrypt(codec.encode(a), codec) + public.encrypt(codec.encode(b), codec)
mean = codec.decode(private.decrypt(total), total_weight=2)
"""

from fedlearn.crypto.codec import FixedPoint
from fedlearn.crypto.keys import PrivateKey, PublicKey, generate_keypair
from fedlearn.crypto.vector import EncryptedVector

__all__ = ["EncryptedVector", "FixedPoint", "PrivateKey", "PublicKey", "generate_keypair"]
