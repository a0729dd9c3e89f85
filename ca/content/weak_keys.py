"""RSA moduli that are easy to factor.

All checks together take well under a millisecond for the accepted sizes.
"""

from math import gcd, isqrt, prod
from typing import Final

_FERMAT_STEPS: Final = 100


def _primes_below(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    sieve[0:2] = b"\x00\x00"
    for number in range(2, isqrt(limit) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(limit) if sieve[number]]


_SMALL_PRIMES: Final = _primes_below(2**16)


def _product(numbers: list[int]) -> int:
    """Return the product, by halves: multiplying numbers of similar size is fast."""
    if len(numbers) < 16:
        return prod(numbers)
    middle = len(numbers) // 2
    return _product(numbers[:middle]) * _product(numbers[middle:])


_PRIMORIAL: Final = _product(_SMALL_PRIMES)


def _powers_of_65537(prime: int) -> frozenset[int]:
    powers, power = {1}, 65537 % prime
    while power != 1:
        powers.add(power)
        power = power * 65537 % prime
    return frozenset(powers)


# CVE-2017-15361: primes of the form k·M + (65537^a mod M) leave residues in the subgroup that 65537
# generates.
_ROCA_SUBGROUPS: Final = tuple(
    (prime, powers)
    for prime in _SMALL_PRIMES
    if 3 <= prime <= 167 and len(powers := _powers_of_65537(prime)) < prime - 1
)
_ROCA_PRODUCT: Final = prod(prime for prime, _ in _ROCA_SUBGROUPS)

_SQUARES: Final = tuple(
    (modulus, frozenset(number * number % modulus for number in range(modulus)))
    for modulus in (64, 63, 65, 11)
)
_SQUARES_PERIOD: Final = prod(modulus for modulus, _ in _SQUARES)


def modulus_faults(modulus: int) -> tuple[str, ...]:
    """Return why the modulus is weak: even, small factor, close factors (Fermat), ROCA."""
    if modulus % 2 == 0:
        return ("the modulus is even",)
    if gcd(modulus, _PRIMORIAL % modulus) != 1:
        return ("the modulus has a prime factor below 65536",)
    faults = []
    if has_close_factors(modulus):
        faults.append("the prime factors are close to each other (Fermat)")
    if is_roca(modulus):
        faults.append("made by a flawed generator (ROCA, CVE-2017-15361)")
    return tuple(faults)


def has_close_factors(modulus: int) -> bool:
    """Whether 100 steps of Fermat's method factor the odd modulus; squares too."""
    root = isqrt(modulus)
    if root * root == modulus:
        return True
    # (root + step)² - modulus is followed by its residue; only what can be a square is computed in
    # full.
    residue, increment = (root * root - modulus) % _SQUARES_PERIOD, (2 * root + 1) % _SQUARES_PERIOD
    for step in range(1, _FERMAT_STEPS + 1):
        residue += increment
        increment += 2
        if all(residue % m in squares for m, squares in _SQUARES) and _is_square(
            (root + step) ** 2 - modulus
        ):
            return True
    return False


def is_roca(modulus: int) -> bool:
    """Whether the modulus has the fingerprint of CVE-2017-15361 (by chance one in 2^28)."""
    residue = modulus % _ROCA_PRODUCT
    return all(residue % prime in powers for prime, powers in _ROCA_SUBGROUPS)


def _is_square(number: int) -> bool:
    return isqrt(number) ** 2 == number
