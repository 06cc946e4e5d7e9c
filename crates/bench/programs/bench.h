/* What every program here shares: one entry, a random generator, a checksum.
 *
 * A program defines `bench_run`, which does a fixed amount of work and returns a checksum that is the
 * same in every engine and natively. Results must not depend on the width of a pointer or `long`. */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef __wasm__
#define BENCH_EXPORT __attribute__((export_name("bench_run")))
#else
#define BENCH_EXPORT
#endif

BENCH_EXPORT int64_t bench_run(void);

/* xorshift32: never returns 0 for a state that is not 0. */
static inline uint32_t bench_random(uint32_t *state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

/* FNV-1a over bytes, to fold results into the checksum. */
static inline uint64_t bench_fold(uint64_t hash, const void *bytes, size_t count) {
  const uint8_t *b = bytes;
  for (size_t i = 0; i < count; i++) hash = (hash ^ b[i]) * 0x100000001b3u;
  return hash;
}

#define BENCH_FOLD_START 0xcbf29ce484222325u

/* Fills a buffer with text that compresses and parses like prose: words of a small vocabulary. */
static inline void bench_text(char *out, size_t count, uint32_t seed) {
  static const char *const words[] = {
      "the",   "edge",  "of",     "a",       "cloth",  "that",   "keeps",    "it",     "from",    "unravelling",
      "weave", "warp",  "thread", "instance", "memory", "table",  "function", "module", "between", "compiled",
      "under", "loom",  "and",    "again",   "shuttle", "pattern", "request",  "answer", "many",    "strangers"};
  size_t at = 0, in_line = 0;
  while (at < count) {
    const char *word = words[bench_random(&seed) % (sizeof words / sizeof *words)];
    while (*word && at < count) out[at++] = *word++, in_line++;
    if (at < count) {
      int wrap = in_line > 70;
      out[at++] = wrap ? '\n' : ' ';
      if (wrap) in_line = 0;
    }
  }
}

#endif
