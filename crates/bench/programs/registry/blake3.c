/* BLAKE3's portable C: one long message and many short ones. */
#include "bench.h"
#include "blake3.h"

static uint8_t message[16 << 20];

int64_t bench_run(void) {
  uint8_t digest[32];
  uint64_t first;
  blake3_hasher hasher;
  bench_text((char *)message, sizeof message, 51);
  blake3_hasher_init(&hasher);
  for (int round = 0; round < 3; round++) blake3_hasher_update(&hasher, message, sizeof message);
  blake3_hasher_finalize(&hasher, digest, sizeof digest);
  for (int i = 0; i < 20000; i++) {
    blake3_hasher_init(&hasher);
    blake3_hasher_update(&hasher, digest, sizeof digest);
    blake3_hasher_update(&hasher, message + i, 100);
    blake3_hasher_finalize(&hasher, digest, sizeof digest);
  }
  memcpy(&first, digest, sizeof first);
  return (int64_t)first;
}
