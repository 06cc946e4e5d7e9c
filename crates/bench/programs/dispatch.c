/* Expression trees evaluated through function pointers: indirect calls, pointer chasing, malloc. */
#include "bench.h"

struct node {
  int64_t (*eval)(const struct node *, const int64_t *);
  const struct node *left, *right;
  int64_t value;
};

static int64_t eval(const struct node *n, const int64_t *vars) { return n->eval(n, vars); }
static int64_t constant(const struct node *n, const int64_t *vars) { return (void)vars, n->value; }
static int64_t variable(const struct node *n, const int64_t *vars) { return vars[n->value]; }
static int64_t add(const struct node *n, const int64_t *vars) {
  return (int64_t)((uint64_t)eval(n->left, vars) + (uint64_t)eval(n->right, vars));
}
static int64_t multiply(const struct node *n, const int64_t *vars) {
  return (int64_t)((uint64_t)eval(n->left, vars) * (uint64_t)eval(n->right, vars));
}
static int64_t smaller(const struct node *n, const int64_t *vars) {
  int64_t a = eval(n->left, vars), b = eval(n->right, vars);
  return a < b ? a : b;
}
static int64_t choose(const struct node *n, const int64_t *vars) {
  return eval(vars[n->value] & 1 ? n->left : n->right, vars);
}
static int64_t negate(const struct node *n, const int64_t *vars) {
  return (int64_t)-(uint64_t)eval(n->left, vars);
}

static struct node *grow(int depth, uint32_t *seed) {
  static int64_t (*const inner[])(const struct node *, const int64_t *) = {add, multiply, smaller, choose, negate};
  struct node *n = malloc(sizeof *n);
  uint32_t r = bench_random(seed);
  *n = (struct node){.value = r % 8};
  if (depth == 0) {
    n->eval = r & 256 ? constant : variable;
    return n;
  }
  n->eval = inner[(r >> 9) % 5];
  n->left = grow(depth - 1, seed);
  n->right = grow(depth - 1, seed);
  return n;
}

static void release(const struct node *n) {
  if (!n) return;
  release(n->left);
  release(n->right);
  free((void *)n);
}

int64_t bench_run(void) {
  uint32_t seed = 77;
  int64_t vars[8], sum = 0;
  for (int round = 0; round < 8; round++) {
    struct node *tree = grow(14, &seed);
    for (int i = 0; i < 500; i++) {
      for (int k = 0; k < 8; k++) vars[k] = bench_random(&seed) % 1000;
      sum = (int64_t)((uint64_t)sum * 31 + (uint64_t)eval(tree, vars));
    }
    release(tree);
  }
  return sum;
}
