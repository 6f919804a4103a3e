#!/usr/bin/env python3
"""Compute the coefficients of samplers/detmath.c: samplers/detmath_coefficients.h.

    detmath.py            print the header
    detmath.py --check F  exit 0 if F is what would be printed, 1 if not, 77 if mpmath is missing

Each polynomial interpolates its function at the Chebyshev points of its interval, in 60 digits, and is then rounded
to doubles, coefficient by coefficient. Such a polynomial misses the best one by less than a factor of two, and its
error is far below the rounding of the evaluation, so nothing is gained by an exchange algorithm. The script
prints the worst relative error that is left, before and after rounding the coefficients, into the header.

The inverse normal is a quotient of two polynomials on each of three intervals, the intervals and degrees of Wichura's
algorithm AS 241; its coefficients are fitted by least squares, weighted anew until the sum is that of relative errors.
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


def chebyshev_points(low, high, count):
    return [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]


def interpolate(function, low, high, degree):
    """Coefficients, lowest first, of the polynomial through the Chebyshev points of [low, high]."""
    count = degree + 1
    points = chebyshev_points(low, high, count)
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


def fit_quotient(function, low, high, degree):
    """Coefficients of P and Q (Q's first is 1), lowest first: P/Q has the least sum of squared relative errors over many
    Chebyshev points. P - f Q is linear in them; divided by f and the Q of the round before it becomes the relative error."""
    points = chebyshev_points(low, high, 8 * (degree + 1))
    given = [function(point) for point in points]
    lower = [mpf(1)]
    for _ in range(4):
        count = 2 * degree + 1
        matrix = mp.matrix(len(points), count)
        values = mp.matrix(len(points), 1)
        for row, (point, value) in enumerate(zip(points, given)):
            below = mp.polyval(lower[::-1], point)
            values[row] = 1 / below
            for power in range(degree + 1):
                matrix[row, power] = point ** power / (value * below)
            for power in range(1, degree + 1):
                matrix[row, degree + power] = -point ** power / below
        normal = matrix.T * matrix  # 60 digits bear the squared condition
        solved = list(mp.lu_solve(normal, matrix.T * values))
        upper, lower = solved[:degree + 1], [mpf(1)] + solved[degree + 1:]
    return upper, lower


def quotient_tables(name, comment, function, low, high):
    degree = 7
    upper, lower = fit_quotient(function, low, high, degree)
    rounded = [[mpf(float(c)) for c in part] for part in (upper, lower)]
    errors = [mpf(0), mpf(0)]
    for i in range(301):
        x = low + (high - low) * i / 300
        exact = function(x)
        for which, (p, q) in enumerate(((upper, lower), rounded)):
            below = mp.polyval(q[::-1], x)
            if below <= 0:
                raise ArithmeticError("%s has a pole" % name)
            errors[which] = max(errors[which], abs(mp.polyval(p[::-1], x) / below / exact - 1))
    lines = ["/* %s" % comment,
             " * Error of the result %s, with rounded coefficients %s. */" % (mp.nstr(errors[0], 2), mp.nstr(errors[1], 2))]
    for part, coefficients in zip(("UPPER", "LOWER"), rounded):
        lines += ["static const double %s_%s[%d] = {" % (name, part, degree + 1)]
        lines += ["    %s," % hexadecimal(c) for c in coefficients]
        lines += ["};"]
    return lines + [""]


def normal_tail_from_root(r):
    """z > 0 with Phi(-z) = exp(-r^2), by Newton's method on the logarithm."""
    z = mp.sqrt(2) * r
    for _ in range(60):
        tail = mp.erfc(z / mp.sqrt(2)) / 2
        step = (mp.log(tail) + r * r) * tail / mp.npdf(z)
        z += step
        if abs(step) < mpf(10) ** -45 * z:
            return z
    raise ArithmeticError("no root for %s" % r)


def normal_centre(y):
    """z / q for u = 1/2 + q, y = 0.180625 - q^2."""
    q = mp.sqrt(mpf("0.180625") - y)
    if q < mpf(10) ** -20:
        return mp.sqrt(2 * mp.pi)
    return mp.sqrt(2) * mp.erfinv(2 * q) / q


def erfcx(x):
    return mp.exp(x * x) * mp.erfc(x)


def erf_rest(y):
    """erf x = x + x erf_rest(x^2)."""
    return 2 / mp.sqrt(mp.pi) * mp.nsum(lambda k: (-y) ** int(k) / (mp.factorial(int(k)) * (2 * int(k) + 1)), [0, 60]) - 1


ERFCX_FIRST, ERFCX_LAST, ERFCX_DEGREE = 4, 63, 8


def erfcx_table():
    """One polynomial in l for each piece p of 256 / (4 + x) = p + 1/2 + l, |l| <= 1/2."""
    errors = [mpf(0), mpf(0)]
    rows = []
    for piece in range(ERFCX_FIRST, ERFCX_LAST + 1):
        def function(l, middle=piece + mpf("0.5")):
            return erfcx(256 / (middle + l) - 4)
        exact = interpolate(function, mpf("-0.5"), mpf("0.5"), ERFCX_DEGREE)
        rounded = [mpf(float(c)) for c in exact]
        for which, coefficients in enumerate((exact, rounded)):
            for i in range(21):
                l = (mpf(i) - 10) / 20
                errors[which] = max(errors[which], abs(mp.polyval(coefficients[::-1], l) / function(l) - 1))
        rows.append("    {%s}," % ", ".join(hexadecimal(c) for c in rounded))
    return ["/* erfcx x, 0 <= x <= 50: row p - %d is a polynomial in l, 256 / (4 + x) = p + 1/2 + l, |l| <= 1/2." % ERFCX_FIRST,
            " * Error of the result %s, with rounded coefficients %s. */" % (mp.nstr(errors[0], 2), mp.nstr(errors[1], 2)),
            "#define ERFCX_FIRST %d" % ERFCX_FIRST,
            "#define ERFCX_LAST %d" % ERFCX_LAST,
            "static const double ERFCX_PIECES[%d][%d] = {" % (ERFCX_LAST - ERFCX_FIRST + 1, ERFCX_DEGREE + 1)] + rows + ["};", ""]


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
    half = mpf("0.5")
    lines += table("ERF_REST", "erf x = x + x times this polynomial in y = x^2, |x| <= 1/2.",
                   erf_rest, lambda y: 1 + erf_rest(y), mpf(0), half ** 2, 9)
    lines += erfcx_table()
    lines += ["/* 1 / sqrt pi, 1 / sqrt 2, ln sqrt(2 pi), sqrt 3 / pi. */",
              "static const double SQRT_PI_INVERSE = %s;" % hexadecimal(1 / mp.sqrt(mp.pi)),
              "static const double SQRT_HALF = %s;" % hexadecimal(mp.sqrt(half)),
              "static const double LN_SQRT_2PI = %s;" % hexadecimal(mp.log(2 * mp.pi) / 2),
              "static const double SQRT_3_OVER_PI = %s;" % hexadecimal(mp.sqrt(3) / mp.pi),
              ""]
    lines += quotient_tables("NDTRI_CENTRE", "z = q times this quotient in y = 0.180625 - q^2, q = u - 1/2, |q| <= 0.425.",
                             normal_centre, mpf(0), mpf("0.180625"))
    lines += quotient_tables("NDTRI_MIDDLE", "z = -this quotient in r - 1.6, r = sqrt(-ln u) <= 5.",
                             lambda r: normal_tail_from_root(r + mpf("1.6")), mpf(0), mpf("3.4"))
    lines += quotient_tables("NDTRI_FAR", "z = -this quotient in r - 5, 5 <= r <= 27.4 (every u that a double can be).",
                             lambda r: normal_tail_from_root(r + 5), mpf(0), mpf("22.4"))
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
