/* Two hash maps: open addressing over integers, chains over strings that malloc holds. */
#include "bench.h"

#define SLOTS (1u << 19)
#define BUCKETS 16384

static uint32_t keys[SLOTS], values[SLOTS];

struct node { struct node *next; uint32_t hash, count; char text[]; };
static struct node *buckets[BUCKETS];

static uint32_t *slot_of(uint32_t key) {
  uint32_t at = (key * 0x9e3779b1u) >> 13;
  while (keys[at] && keys[at] != key) at = (at + 1) & (SLOTS - 1);
  keys[at] = key;
  return &values[at];
}

static uint32_t string_hash(const char *s) {
  uint32_t h = 2166136261u;
  while (*s) h = (h ^ (uint8_t)*s++) * 16777619u;
  return h;
}

static struct node *find(const char *text) {
  uint32_t hash = string_hash(text);
  struct node **head = &buckets[hash % BUCKETS];
  for (struct node *n = *head; n; n = n->next)
    if (n->hash == hash && !strcmp(n->text, text)) return n;
  size_t length = strlen(text) + 1;
  struct node *fresh = malloc(sizeof *fresh + length);
  *fresh = (struct node){*head, hash, 0};
  memcpy(fresh->text, text, length);
  return *head = fresh;
}

static void name(char *out, uint32_t n) {
  memcpy(out, "item-", 5);
  out += 5;
  do *out++ = (char)('a' + n % 26), n /= 26; while (n);
  *out = 0;
}

static void clear(void) {
  for (int i = 0; i < BUCKETS; i++)
    for (struct node *n = buckets[i], *next; n; n = next) next = n->next, free(n);
  memset(buckets, 0, sizeof buckets);
}

int64_t bench_run(void) {
  uint64_t sum = 0;
  uint32_t seed = 3;
  for (int i = 0; i < 3000000; i++) *slot_of(bench_random(&seed) % 300000 + 1) += (uint32_t)i;
  for (uint32_t k = 1; k <= 300000; k++) sum = sum * 31 + *slot_of(k);
  for (int i = 0; i < 1000000; i++) {
    char text[16];
    name(text, bench_random(&seed) % 50000);
    find(text)->count++;
  }
  for (int i = 0; i < BUCKETS; i++)
    for (struct node *n = buckets[i]; n; n = n->next) sum = sum * 31 + n->hash * n->count;
  clear();
  return (int64_t)sum;
}
