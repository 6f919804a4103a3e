#!/usr/bin/env python3
"""Compute the coefficients of samplers/detmath.c: samplers/detmath_coefficients.h.

    detmath.py            print the header
    detmath.py --check F  exit 0 if F is what would be printed, 1 if not, 77 if mpmath is missing

Each polynomial interpolates its function at the Chebyshev points of its interval, in 60 digits, and is then rounded
to doubles, coefficient by coefficient. Such a polynomial misses the best one by less than a factor of two, and its
error is far below the rounding of the evaluation, so nothing is gained by an exchange algorithm. The script
prints the worst relative error that is left, before and after rounding the coefficients, into the header.
"""
import sys

try:
    from mpmath import mp, mpf
except ImportError:
    print("detmath.py: python3-mpmath is not installed", file=sys.stderr)
    sys.exit(77)

mp.dps = 60


def bits(x, count):
    """x rounded to nearest at `count` significant bits."""
    mantissa, exponent = mp.frexp(x)
    return mp.ldexp(mp.nint(mp.ldexp(mantissa, count)), exponent - count)


def hexadecimal(x):
    """A double as a C constant."""
    return float(x).hex()


def interpolate(function, low, high, degree):
    """Coefficients, lowest first, of the polynomial through the Chebyshev points of [low, high]."""
    count = degree + 1
    points = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count))
              for i in range(count)]
    matrix = mp.matrix(count, count)
    values = mp.matrix(count, 1)
    for row, point in enumerate(points):
        values[row] = function(point)
        for column in range(count):
            matrix[row, column] = point ** column
    return list(mp.lu_solve(matrix, values))


def worst(coefficients, function, whole, low, high):
    """Largest error of the polynomial, relative to `whole`, on a fine grid."""
    result = mpf(0)
    for i in range(2001):
        x = low + (high - low) * i / 2000
        error = (mp.polyval(coefficients[::-1], x) - function(x)) / whole(x)
        result = max(result, abs(error))
    return result


def table(name, comment, function, whole, low, high, degree):
    exact = interpolate(function, low, high, degree)
    rounded = [mpf(float(c)) for c in exact]
    lines = ["/* %s" % comment,
             " * Error of the result %s, with rounded coefficients %s. */"
             % (mp.nstr(worst(exact, function, whole, low, high), 2),
                mp.nstr(worst(rounded, function, whole, low, high), 2)),
             "static const double %s[%d] = {" % (name, degree + 1)]
    lines += ["    %s," % hexadecimal(c) for c in rounded]
    lines += ["};", ""]
    return lines


def exp_rest(r):
    """exp r = 1 + r + r^2/2 + r^3 exp_rest(r); by its series, which loses nothing near 0."""
    return mp.nsum(lambda k: r ** int(k) / mp.factorial(int(k) + 3), [0, 40])


def log_rest(z):
    """2 atanh s = 2 s + s z log_rest(z), z = s^2."""
    return 2 * mp.nsum(lambda k: z ** int(k) / (2 * int(k) + 3), [0, 60])


def header():
    ln2 = mp.log(2)
    # 32 bits: times an exponent of at most 11 bits it is exact.
    ln2_high = bits(ln2, 32)
    ln2_low = ln2 - ln2_high
    reach = ln2 / 2 * (1 + mpf(2) ** -20)
    slope = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
    lines = ["/* Made by samplers/coefficients/detmath.py; do not edit. */",
             "/* clang-format off */",
             "#ifndef HPO_SAMPLERS_DETMATH_COEFFICIENTS_H",
             "#define HPO_SAMPLERS_DETMATH_COEFFICIENTS_H",
             "",
             "/* ln 2 in two parts, the first of 32 bits, and 1 / ln 2. */",
             "static const double LN2_HIGH = %s;" % hexadecimal(ln2_high),
             "static const double LN2_LOW = %s;" % hexadecimal(ln2_low),
             "static const double LN2_INVERSE = %s;" % hexadecimal(1 / ln2),
             ""]
    lines += table("EXP_REST", "exp r = 1 + r + r^2/2 + r^3 times this polynomial in r, |r| <= ln 2 / 2.",
                   exp_rest, lambda r: mp.exp(r) / max(abs(r), mpf(10) ** -30) ** 3, -reach, reach, 9)
    lines += table("LOG_REST",
                   "2 atanh s = 2 s + s z times this polynomial in z = s^2, s <= (sqrt 2 - 1)/(sqrt 2 + 1).",
                   log_rest, lambda z: 2 * (1 + z / 3) / max(z, mpf(10) ** -30), mpf(0), slope ** 2 * (1 + mpf(2) ** -20), 7)
    lines += ["#endif"]
    return "\n".join(lines) + "\n"


def main():
    text = header()
    if len(sys.argv) == 1:
        sys.stdout.write(text)
        return 0
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="ascii") as file:
            same = file.read() == text
        print("%s %s what the script computes" % (sys.argv[2], "is" if same else "is NOT"))
        return 0 if same else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
