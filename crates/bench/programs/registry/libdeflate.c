/* libdeflate: DEFLATE at two levels and back, with CRC-32. */
#include "bench.h"
#include "libdeflate.h"

#define SIZE (1 << 20)

static char text[SIZE], packed[SIZE], back[SIZE];

int64_t bench_run(void) {
  static const int levels[] = {1, 6};
  uint64_t hash = BENCH_FOLD_START;
  struct libdeflate_decompressor *inflate = libdeflate_alloc_decompressor();
  bench_text(text, SIZE, 71);
  for (int i = 0; i < 2; i++) {
    struct libdeflate_compressor *deflate = libdeflate_alloc_compressor(levels[i]);
    size_t size = libdeflate_deflate_compress(deflate, text, SIZE, packed, sizeof packed);
    if (!size) abort();
    for (int round = 0; round < 8; round++)
      if (libdeflate_deflate_decompress(inflate, packed, size, back, SIZE, 0) != LIBDEFLATE_SUCCESS) abort();
    uint32_t crc = libdeflate_crc32(0, back, SIZE);
    hash = bench_fold(bench_fold(hash, packed, size), &crc, sizeof crc);
    libdeflate_free_compressor(deflate);
  }
  libdeflate_free_decompressor(inflate);
  return (int64_t)hash;
}
