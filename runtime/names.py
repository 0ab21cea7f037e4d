"""Names for containers that were given none: an adjective and somebody who moved knowledge on."""

from __future__ import annotations

import os
from collections.abc import Container as Names

_ADJECTIVES = (
    "agile amber ample apt bold brave breezy bright brisk calm candid cheery civil clever cosy crisp daring deft eager "
    "early easy fair famous fleet fond frank fresh gentle glad golden grand happy hardy honest humble jolly keen kind "
    "lively loyal lucid lucky mellow merry mild modest neat nimble noble patient placid plucky polite proud quick quiet "
    "rapid ready robust royal serene sharp silent smart snug solid spry steady sturdy subtle sunny swift tender tidy trusty "
    "upbeat valiant vivid warm wise witty zealous zesty"
)
_SURNAMES = (
    "abel agnesi alhazen archimedes avogadro babbage banach bell bernoulli bohr boole bose brahe carson cauchy cavendish "
    "chebyshev clarke copernicus curie cuvier darwin dedekind descartes dijkstra dirac edison einstein erdos euclid euler "
    "faraday fermat fermi feynman fibonacci fleming fourier franklin galileo galois gauss germain goodall hamilton hawking "
    "heisenberg hilbert hooke hopper hubble humboldt huygens hypatia jacobi joule kelvin kepler khayyam knuth kovalevskaya "
    "lagrange lamarr laplace lavoisier leavitt leibniz linnaeus lovelace maxwell mayer mendel mirzakhani napier newton "
    "noether ohm pascal pasteur pauling planck poincare ptolemy ramanujan riemann ritchie rubin sagan shannon somerville "
    "tesla thompson torvalds turing volta wallace watt wiles wing wozniak yalow zuse"
)


def generate(taken: Names[str]) -> str:
    """A name that is not in `taken`; a number is added once that gets hard."""
    adjectives, surnames = _ADJECTIVES.split(), _SURNAMES.split()
    attempt = 0
    while True:
        number = int.from_bytes(os.urandom(6), "big")
        left, right = number % len(adjectives), number // 1000 % len(surnames)
        name = f"{adjectives[left]}_{surnames[right]}" + (str(attempt) if attempt > 5 else "")
        if name not in taken:
            return name
        attempt += 1
