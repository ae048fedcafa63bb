"""Keeps instances that share an init from drawing the same numbers.

What looks after itself is left alone: Python's `random` (its own hook after a fork), `secrets`,
`SystemRandom` and `uuid4` (the kernel), `tempfile` (compares process ids). OpenSSL compares process ids
too, in each copy of it, and a newborn's never equals its ember's. The rest is renewed here.

A generator that init seeded with a number of its own keeps its state: that was the point of it. One of
`random.Random()` or `numpy.random.default_rng()` that was left unseeded is renewed. Objects of native
libraries that hide their state (a `Generator` built by hand, PyTorch's) cannot be found.
"""

import os
import sys
from weakref import WeakSet

from . import imports

_unseeded = WeakSet()
# Generators of numpy take no weak reference; they are few.
_numpy_unseeded = []
_UUID_STATE = ("_node", "_last_timestamp", "_last_timestamp_v6")


def prepare():
    """Notices generators that init makes without a seed. Called before the user's code runs."""
    imports.after("random", _notice_random)
    imports.after("numpy.random", _notice_numpy)


def renewals():
    """What a newborn has to call, from what init has loaded. Called once, in the ember."""
    calls = []
    for name, renew in _RENEWALS:
        module = sys.modules.get(name)
        if module is not None:
            calls.append(lambda renew=renew, module=module: renew(module))
    calls.extend(generator.seed for generator in _unseeded)
    calls.extend(lambda generator=generator: _renew_bits(generator) for generator in _numpy_unseeded)
    return calls


def _notice_random(module):
    original = module.Random.seed

    def seed(self, a=None, version=2):
        if a is None:
            _unseeded.add(self)
        else:
            _unseeded.discard(self)
        original(self, a, version)

    seed.__doc__, seed.__wrapped__ = original.__doc__, original
    module.Random.seed = seed


def _notice_numpy(module):
    original = getattr(module, "default_rng", None)
    if original is None:
        return

    def default_rng(seed=None):
        generator = original(seed)
        if seed is None:
            _numpy_unseeded.append(generator)
        return generator

    default_rng.__doc__, default_rng.__wrapped__ = original.__doc__, original
    module.default_rng = default_rng


def _renew_bits(generator):
    bits = generator.bit_generator
    bits.state = type(bits)().state


def _renew_numpy(module):
    try:
        module.seed(memoryview(os.urandom(32)).cast("I").tolist())
    except Exception:
        # Something other than the Mersenne Twister was put under the old functions.
        module.set_bit_generator(type(module.get_bit_generator())())


def _renew_ssl(module):
    # A draw makes OpenSSL note this process's id in place of the ember's, which a child of ours may get
    # once the ember has gone.
    module.RAND_bytes(1)


def _renew_uuid(module):
    # A node that was drawn because there is no network card, and the time of the last one.
    for name in _UUID_STATE:
        if hasattr(module, name):
            setattr(module, name, None)


def _renew_authentication(module):
    module.current_process().authkey = os.urandom(32)


_RENEWALS = (
    ("numpy.random", _renew_numpy),
    ("_ssl", _renew_ssl),
    ("uuid", _renew_uuid),
    ("multiprocessing.process", _renew_authentication),
)
