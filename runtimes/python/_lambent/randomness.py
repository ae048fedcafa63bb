"""Keeps instances that share an init from drawing the same numbers.

What looks after itself is left alone: `secrets`, `SystemRandom` and `uuid4` (the kernel), `tempfile`
(compares process ids). OpenSSL compares process ids too, in each copy of it, and a newborn's never equals
its ember's. The rest is renewed here.

A generator that init seeded with a number of its own keeps its state: that was the point of it. One of
`random.Random()` or `numpy.random.default_rng()` that was left unseeded is renewed. Objects of native
libraries that hide their state (a `Generator` built by hand, PyTorch's) cannot be found.
"""

import os
import sys

from . import imports

# Made once `random` is imported.
_unseeded = None
# Generators of numpy take no weak reference; they are few.
_numpy_unseeded = []
_notices = True
_covers_ssl = False
_TWISTER_WORDS = 624
_TWISTER_BYTES = 4 * _TWISTER_WORDS
_UUID_STATE = ("_generate_time_safe", "_last_timestamp", "_last_timestamp_v6")
# The bit that no network card has.
_IS_RANDOM_NODE = 1 << 40


def prepare():
    """Notices generators that init makes without a seed. Called before the user's code runs."""
    imports.after("random", _notice_random)
    imports.after("numpy.random", _notice_numpy)


def rest():
    """In an instance: what is made from here on is its own."""
    global _notices
    _notices = False


def renewals():
    """What a newborn has to call, from what has been loaded. Called in the ember."""
    calls = []
    for name, prepare_renewal in _RENEWALS:
        module = sys.modules.get(name)
        if module is not None:
            calls.append(prepare_renewal(module))
    calls.extend(_reseeding(generator) for generator in _unseeded or ())
    calls.extend(lambda generator=generator: _renew_bits(generator) for generator in _numpy_unseeded)
    return [call for call in calls if call is not None]


def _notice_random(module):
    global _unseeded
    from weakref import WeakSet

    _unseeded = WeakSet()
    original = module.Random.seed

    def seed(self, a=None, version=2):
        if _notices:
            try:
                _unseeded.add(self) if a is None else _unseeded.discard(self)
            except TypeError:
                pass  # A class of the user's without a hash.
        original(self, a, version)

    module.Random.seed = _named_as(original, seed)


def _notice_numpy(module):
    original = getattr(module, "default_rng", None)
    if original is None:
        return

    def default_rng(seed=None):
        generator = original(seed)
        if seed is None and _notices:
            _numpy_unseeded.append(generator)
        return generator

    module.default_rng = _named_as(original, default_rng)


def _named_as(original, cover):
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(cover, name, getattr(original, name, None))
    cover.__wrapped__ = original
    return cover


def _renew_bits(generator):
    bits = generator.bit_generator
    bits.state = type(bits)().state


def _of_random(module):
    return _reseeding(module._inst)


def _reseeding(generator):
    # Straight to the C type, and with 256 bits: nobody guesses them, and few pages are touched.
    from _random import Random

    seed = Random.seed

    def reseed():
        seed(generator, int.from_bytes(os.urandom(32), "big"))
        generator.gauss_next = None

    return reseed


def _of_numpy(module):
    def reseed():
        try:
            module.seed(memoryview(os.urandom(32)).cast("I").tolist())
        except Exception:
            # Something other than the Mersenne Twister was put under the old functions.
            module.set_bit_generator(type(module.get_bit_generator())())

    # Once here, so that no half of a pair of normal numbers is kept for the newborns.
    reseed()
    return _numpy_in_place(module) or reseed


def _numpy_in_place(module):
    """Writes the state of the Mersenne Twister where it lies: its functions cost a newborn half a
    millisecond. None where it does not look as it should."""
    try:
        import ctypes

        generator = module.mtrand._rand._bit_generator
        address = generator.ctypes.state_address
        key = (ctypes.c_char * _TWISTER_BYTES).from_address(address)
        position = ctypes.c_int.from_address(address + _TWISTER_BYTES)
        state = generator.state["state"]
        if key.raw != state["key"].tobytes() or position.value != state["pos"]:
            return None
    except Exception:
        return None

    def reseed():
        key.raw = os.urandom(_TWISTER_BYTES)
        position.value = _TWISTER_WORDS  # All used up: the next draw mixes the state.

    return reseed


def _of_ssl(module):
    """Registers what a child of an instance needs if it is given the number of the ember, once that has gone:
    OpenSSL would take itself for the ember. A draw here would tell OpenSSL, but costs each newborn 2 ms."""
    global _covers_ssl
    if _covers_ssl:
        return
    ember, _covers_ssl = os.getpid(), True

    def after_fork():
        if os.getpid() == ember:
            module.RAND_add(os.urandom(32), 32.0)

    os.register_at_fork(after_in_child=after_fork)


def _of_uuid(module):
    """For `uuid1`: the C library keeps numbers in stock, the same in all newborns. A node of its own for each,
    as where there is no network card, makes them differ."""
    names = [name for name in _UUID_STATE if hasattr(module, name)]

    def renew():
        for name in names:
            setattr(module, name, None)
        module._node = int.from_bytes(os.urandom(6), "big") | _IS_RANDOM_NODE

    return renew


def _of_processes(module):
    def renew():
        module.current_process().authkey = os.urandom(32)

    return renew


_RENEWALS = (
    ("random", _of_random),
    ("numpy.random", _of_numpy),
    ("_ssl", _of_ssl),
    ("uuid", _of_uuid),
    ("multiprocessing.process", _of_processes),
)
