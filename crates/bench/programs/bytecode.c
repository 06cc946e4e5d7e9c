/* A stack machine interpreting three little programs: a sieve, a recursive function, a string hash. */
#include "bench.h"

enum op { PUSH, LOAD, STORE, ADD, SUB, MUL, REM, LESS, JUMP, JUMP_ZERO, CALL, RETURN, GET, PUT, DUP, DROP, XOR, HALT };

struct insn { int32_t op, arg; };

static int32_t heap[65536];

#define STACK 4096

static int64_t run(const struct insn *code, int32_t start, int32_t argument) {
  int32_t stack[STACK], frames[STACK];
  int sp = 0, fp = 0;
  const struct insn *pc = code + start;
  stack[sp++] = argument;
  for (uint64_t steps = 0;; steps++) {
    int32_t arg = pc->arg;
    switch ((pc++)->op) {
      case PUSH: stack[sp++] = arg; break;
      case LOAD: stack[sp] = stack[fp + arg], sp++; break;
      case STORE: stack[fp + arg] = stack[--sp]; break;
      case ADD: sp--, stack[sp - 1] = (int32_t)((uint32_t)stack[sp - 1] + (uint32_t)stack[sp]); break;
      case SUB: sp--, stack[sp - 1] = (int32_t)((uint32_t)stack[sp - 1] - (uint32_t)stack[sp]); break;
      case MUL: sp--, stack[sp - 1] = (int32_t)((uint32_t)stack[sp - 1] * (uint32_t)stack[sp]); break;
      case REM: sp--, stack[sp - 1] = (int32_t)((uint32_t)stack[sp - 1] % (uint32_t)(stack[sp] | 1)); break;
      case XOR: sp--, stack[sp - 1] ^= stack[sp]; break;
      case LESS: sp--, stack[sp - 1] = stack[sp - 1] < stack[sp]; break;
      case JUMP: pc = code + arg; break;
      case JUMP_ZERO: if (!stack[--sp]) pc = code + arg; break;
      case CALL: /* one argument on the stack becomes local 0 */
        frames[sp] = (int32_t)(pc - code), stack[sp] = fp, fp = sp - 1, sp++;
        pc = code + arg;
        break;
      case RETURN: {
        int32_t value = stack[--sp];
        int base = fp;
        pc = code + frames[base + 1];
        fp = stack[base + 1];
        stack[base] = value, sp = base + 1;
        break;
      }
      case GET: stack[sp - 1] = heap[stack[sp - 1] & 65535]; break;
      case PUT: sp -= 2, heap[stack[sp] & 65535] = stack[sp + 1]; break;
      case DUP: stack[sp] = stack[sp - 1], sp++; break;
      case DROP: sp--; break;
      default: return (int64_t)steps * 1000003 + stack[sp - 1];
    }
  }
}

/* fib(n): local 0 is n, local 1 the saved frame. */
static const struct insn fib[] = {
    {CALL, 2}, {HALT, 0},
    {LOAD, 0}, {PUSH, 2}, {LESS, 0}, {JUMP_ZERO, 8}, {LOAD, 0}, {RETURN, 0},
    {LOAD, 0}, {PUSH, 1}, {SUB, 0}, {CALL, 2}, {LOAD, 0}, {PUSH, 2}, {SUB, 0}, {CALL, 2}, {ADD, 0}, {RETURN, 0}};

/* Sieve below n = local 0, locals 1 = i, 2 = j; counts primes in 3. */
static const struct insn sieve[] = {
    {PUSH, 2}, {PUSH, 0}, {PUSH, 0},
    /* 3 */ {LOAD, 1}, {LOAD, 0}, {LESS, 0}, {JUMP_ZERO, 35},
    {LOAD, 1}, {GET, 0}, {JUMP_ZERO, 12}, {JUMP, 30}, {HALT, 0},
    /* 12 */ {LOAD, 3}, {PUSH, 1}, {ADD, 0}, {STORE, 3}, {LOAD, 1}, {STORE, 2},
    /* 18 */ {LOAD, 2}, {LOAD, 0}, {LESS, 0}, {JUMP_ZERO, 30},
    {LOAD, 2}, {PUSH, 1}, {PUT, 0}, {LOAD, 2}, {LOAD, 1}, {ADD, 0}, {STORE, 2}, {JUMP, 18},
    /* 30 */ {LOAD, 1}, {PUSH, 1}, {ADD, 0}, {STORE, 1}, {JUMP, 3},
    /* 35 */ {LOAD, 3}, {HALT, 0}};

/* Hash of the numbers below n = local 0, local 1 = i, local 2 = the hash. */
static const struct insn hash[] = {
    {PUSH, 0}, {PUSH, 17},
    /* 2 */ {LOAD, 1}, {LOAD, 0}, {LESS, 0}, {JUMP_ZERO, 20},
    {LOAD, 2}, {PUSH, 31}, {MUL, 0}, {LOAD, 1}, {DUP, 0}, {PUSH, 255}, {REM, 0}, {XOR, 0}, {ADD, 0}, {STORE, 2},
    {LOAD, 1}, {PUSH, 1}, {ADD, 0}, {JUMP, 21},
    /* 20 */ {HALT, 0},
    /* 21 */ {STORE, 1}, {JUMP, 2}};

int64_t bench_run(void) {
  int64_t sum = run(fib, 0, 27);
  for (int i = 0; i < 12; i++) {
    memset(heap, 0, sizeof heap);
    sum = sum * 31 + run(sieve, 0, 65536);
  }
  return sum * 31 + run(hash, 0, 1000000);
}
