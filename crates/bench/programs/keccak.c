/* SHA3-256 of a long message, then a chain of short ones. */
#include "bench.h"

#define ROUNDS 24
#define RATE 136

static const uint64_t round_constants[ROUNDS] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000a, 0x000000008000808b, 0x800000000000008b, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};
static const int rotations[24] = {1, 3, 6, 10, 15, 21, 28, 36, 45, 55, 2, 14, 27, 41, 56, 8, 25, 43, 62, 18, 39, 61, 20, 44};
static const int lanes[24] = {10, 7, 11, 17, 18, 3, 5, 16, 8, 21, 24, 4, 15, 23, 19, 13, 12, 2, 20, 14, 22, 9, 6, 1};

static inline uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static void permute(uint64_t s[25]) {
  for (int round = 0; round < ROUNDS; round++) {
    uint64_t c[5], t;
    for (int i = 0; i < 5; i++) c[i] = s[i] ^ s[i + 5] ^ s[i + 10] ^ s[i + 15] ^ s[i + 20];
    for (int i = 0; i < 5; i++) {
      t = c[(i + 4) % 5] ^ rotate(c[(i + 1) % 5], 1);
      for (int j = 0; j < 25; j += 5) s[j + i] ^= t;
    }
    t = s[1];
    for (int i = 0; i < 24; i++) {
      uint64_t saved = s[lanes[i]];
      s[lanes[i]] = rotate(t, rotations[i]);
      t = saved;
    }
    for (int j = 0; j < 25; j += 5) {
      for (int i = 0; i < 5; i++) c[i] = s[j + i];
      for (int i = 0; i < 5; i++) s[j + i] = c[i] ^ (~c[(i + 1) % 5] & c[(i + 2) % 5]);
    }
    s[0] ^= round_constants[round];
  }
}

static void absorb(uint64_t s[25], const uint8_t *block) {
  for (int i = 0; i < RATE / 8; i++) {
    uint64_t lane;
    memcpy(&lane, block + 8 * i, 8);
    s[i] ^= lane;
  }
  permute(s);
}

static void sha3_256(const uint8_t *message, size_t length, uint8_t out[32]) {
  uint64_t s[25] = {0};
  uint8_t last[RATE] = {0};
  for (; length >= RATE; length -= RATE, message += RATE) absorb(s, message);
  memcpy(last, message, length);
  last[length] = 6;
  last[RATE - 1] |= 0x80;
  absorb(s, last);
  memcpy(out, s, 32);
}

static uint8_t message[8 << 20];

int64_t bench_run(void) {
  uint8_t digest[32];
  uint32_t seed = 5;
  uint64_t first;
  for (size_t i = 0; i < sizeof message; i += 4) {
    uint32_t word = bench_random(&seed);
    memcpy(message + i, &word, 4);
  }
  sha3_256(message, sizeof message, digest);
  for (int i = 0; i < 100000; i++) sha3_256(digest, sizeof digest, digest);
  memcpy(&first, digest, 8);
  return (int64_t)first;
}
