/* X25519 scalar multiplication: field arithmetic mod 2^255-19 in ten signed limbs of 25 or 26 bits,
 * the portable representation most C code uses; 64-bit products of 32-bit values. */
#include "bench.h"

typedef int32_t fe[10];

static void carry(fe out, int64_t h[10]) {
  for (int pass = 0; pass < 2; pass++)
    for (int i = 0; i < 10; i++) {
      int bits = 26 - (i & 1);
      int64_t c = (h[i] + ((int64_t)1 << (bits - 1))) >> bits;
      h[i] -= c << bits;
      if (i < 9) h[i + 1] += c;
      else h[0] += c * 19;
    }
  for (int i = 0; i < 10; i++) out[i] = (int32_t)h[i];
}

static void add(fe out, const fe f, const fe g) { for (int i = 0; i < 10; i++) out[i] = f[i] + g[i]; }
static void sub(fe out, const fe f, const fe g) { for (int i = 0; i < 10; i++) out[i] = f[i] - g[i]; }

static void mul(fe out, const fe f, const fe g) {
  int64_t h[10] = {0};
  int32_t g19[10];
  for (int i = 0; i < 10; i++) g19[i] = 19 * g[i];
#pragma clang loop unroll(full)
  for (int i = 0; i < 10; i++)
#pragma clang loop unroll(full)
    for (int j = 0; j < 10; j++) {
      int32_t doubled = (i & j & 1) ? 2 * f[i] : f[i];
      h[(i + j) % 10] += (int64_t)doubled * (i + j >= 10 ? g19[j] : g[j]);
    }
  carry(out, h);
}

static void scale(fe out, const fe f, int32_t by) {
  int64_t h[10];
  for (int i = 0; i < 10; i++) h[i] = (int64_t)f[i] * by;
  carry(out, h);
}

static void swap(fe f, fe g, int32_t bit) {
  int32_t mask = -bit;
  for (int i = 0; i < 10; i++) {
    int32_t x = mask & (f[i] ^ g[i]);
    f[i] ^= x;
    g[i] ^= x;
  }
}

static void invert(fe out, const fe z) {
  fe t, a;
  memcpy(t, z, sizeof t);
  for (int i = 253; i >= 0; i--) { /* z^(p-2), p-2 = 2^255 - 21 */
    mul(a, t, t);
    if (i != 2 && i != 4) mul(t, a, z);
    else memcpy(t, a, sizeof t);
  }
  memcpy(out, t, sizeof t);
}

static void unpack(fe out, const uint8_t s[32]) {
  int64_t h[10];
  for (int i = 0, bit = 0; i < 10; bit += 26 - (i & 1), i++) {
    uint64_t word = 0;
    for (int b = 0; b < 5 && bit / 8 + b < 32; b++) word |= (uint64_t)s[bit / 8 + b] << (8 * b);
    h[i] = (int64_t)((word >> (bit % 8)) & ((1u << (26 - (i & 1))) - 1));
  }
  carry(out, h);
}

static void pack(uint8_t s[32], const fe f) {
  int64_t h[10], q = (19 * (int64_t)f[9] + (1 << 24)) >> 25;
  for (int i = 0; i < 10; i++) q = (f[i] + q) >> (26 - (i & 1)), h[i] = f[i];
  h[0] += 19 * q;
  memset(s, 0, 32);
  for (int i = 0, bit = 0; i < 10; i++) {
    int bits = 26 - (i & 1);
    int64_t c = h[i] >> bits;
    if (i < 9) h[i + 1] += c;
    uint64_t word = (uint64_t)(h[i] - (c << bits)) << (bit % 8);
    for (int b = 0; b < 5 && bit / 8 + b < 32; b++) s[bit / 8 + b] |= (uint8_t)(word >> (8 * b));
    bit += bits;
  }
}

static void ladder_step(fe x1, fe x2, fe z2, fe x3, fe z3) {
  fe a, b, c, d, aa, bb, e, t;
  add(a, x2, z2), sub(b, x2, z2), add(c, x3, z3), sub(d, x3, z3);
  mul(d, d, a), mul(c, c, b);
  add(t, d, c), mul(x3, t, t);
  sub(t, d, c), mul(t, t, t), mul(z3, t, x1);
  mul(aa, a, a), mul(bb, b, b), sub(e, aa, bb);
  mul(x2, aa, bb);
  scale(t, e, 121665), add(t, t, aa), mul(z2, e, t);
}

static void x25519(uint8_t out[32], const uint8_t scalar[32], const uint8_t point[32]) {
  fe x1, x2 = {1}, z2 = {0}, x3, z3 = {1};
  uint8_t e[32];
  int32_t swapped = 0;
  memcpy(e, scalar, 32);
  e[0] &= 248, e[31] &= 127, e[31] |= 64;
  unpack(x1, point);
  memcpy(x3, x1, sizeof x3);
  for (int at = 254; at >= 0; at--) {
    int32_t bit = e[at / 8] >> (at & 7) & 1;
    swap(x2, x3, swapped ^ bit), swap(z2, z3, swapped ^ bit);
    swapped = bit;
    ladder_step(x1, x2, z2, x3, z3);
  }
  swap(x2, x3, swapped), swap(z2, z3, swapped);
  invert(z2, z2);
  mul(x2, x2, z2);
  pack(out, x2);
}

int64_t bench_run(void) {
  uint8_t k[32] = {9}, u[32] = {9}, r[32];
  uint64_t first;
  for (int i = 0; i < 1000; i++) { /* the iterated test of RFC 7748, section 5.2 */
    x25519(r, k, u);
    memcpy(u, k, 32);
    memcpy(k, r, 32);
  }
  memcpy(&first, k, 8);
  return (int64_t)first;
}
