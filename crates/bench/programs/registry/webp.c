/* WebP: encodes a synthetic picture with and without loss, decodes both. */
#include "bench.h"
#include "webp/decode.h"
#include "webp/encode.h"

#define WIDTH 256
#define HEIGHT 192

static uint8_t picture[WIDTH * HEIGHT * 3];

static void paint(void) {
  uint32_t seed = 41;
  for (int y = 0; y < HEIGHT; y++)
    for (int x = 0; x < WIDTH; x++) {
      uint8_t *p = &picture[(y * WIDTH + x) * 3];
      int stripe = ((x / 24) ^ (y / 16)) & 1, noise = (int)(bench_random(&seed) % 9);
      p[0] = (uint8_t)(x * 200 / WIDTH + noise + stripe * 40);
      p[1] = (uint8_t)(y * 200 / HEIGHT + noise);
      p[2] = (uint8_t)((x * y) / 256 + stripe * 60);
    }
}

static uint64_t decode(const uint8_t *packed, size_t size, uint64_t hash) {
  int width, height;
  uint8_t *pixels = WebPDecodeRGB(packed, size, &width, &height);
  if (!pixels || width != WIDTH || height != HEIGHT) abort();
  hash = bench_fold(hash, pixels, sizeof picture);
  WebPFree(pixels);
  return hash;
}

int64_t bench_run(void) {
  uint64_t hash = BENCH_FOLD_START;
  uint8_t *lossy, *lossless;
  paint();
  size_t size = WebPEncodeRGB(picture, WIDTH, HEIGHT, WIDTH * 3, 75.0f, &lossy);
  if (!size) abort();
  for (int i = 0; i < 8; i++) hash = decode(lossy, size, hash);
  size = WebPEncodeLosslessRGB(picture, WIDTH, HEIGHT, WIDTH * 3, &lossless);
  if (!size) abort();
  for (int i = 0; i < 4; i++) hash = decode(lossless, size, hash);
  WebPFree(lossy);
  WebPFree(lossless);
  return (int64_t)hash;
}
