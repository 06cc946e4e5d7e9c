/* libsecp256k1: key derivation, ECDSA signatures and their verification. */
#include "bench.h"
#include "secp256k1.h"
#include "secp256k1_preallocated.h"

/* The package renames the library's symbols by its own version. */
#define RENAMED(name) rustsecp256k1_v0_14_##name

void RENAMED(default_illegal_callback_fn)(const char *message, void *data) { (void)message, (void)data, abort(); }
void RENAMED(default_error_callback_fn)(const char *message, void *data) { (void)message, (void)data, abort(); }

int64_t bench_run(void) {
  uint64_t hash = BENCH_FOLD_START;
  uint32_t seed = 91;
  void *memory = malloc(RENAMED(context_preallocated_size)(SECP256K1_CONTEXT_NONE));
  RENAMED(context) *context = RENAMED(context_preallocated_create)(memory, SECP256K1_CONTEXT_NONE);
  for (int i = 0; i < 700; i++) {
    uint8_t secret[32], message[32], compact[64];
    RENAMED(pubkey) key;
    RENAMED(ecdsa_signature) signature;
    for (int b = 0; b < 32; b++) secret[b] = (uint8_t)bench_random(&seed), message[b] = (uint8_t)bench_random(&seed);
    if (!RENAMED(ec_pubkey_create)(context, &key, secret)) abort();
    if (!RENAMED(ecdsa_sign)(context, &signature, message, secret, 0, 0)) abort();
    if (!RENAMED(ecdsa_verify)(context, &signature, message, &key)) abort();
    RENAMED(ecdsa_signature_serialize_compact)(context, compact, &signature);
    hash = bench_fold(hash, compact, sizeof compact);
  }
  free(memory);
  return (int64_t)hash;
}
