// A little stack machine whose every instruction ends in a tail call to the next one.
// Build it with -mtail-call: without guaranteed tail calls, millions of instructions would be
// millions of stack frames.

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

typedef struct Machine Machine;
typedef int64_t Step(const int64_t *code, int64_t *stack, Machine *machine);

struct Machine {
    uint64_t steps;
    int64_t variables[4];
};

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, MOD, JUMP_NONZERO, HALT };

static Step push, load, store, add, sub, mul, mod, jump_nonzero, halt;
static Step *const STEPS[] = {push, load, store, add, sub, mul, mod, jump_nonzero, halt};

#define NEXT(code, stack) \
    machine->steps++;     \
    __attribute__((musttail)) return STEPS[*(code)]((code), (stack), machine)

// `code` points at the instruction, its operand follows; `stack` points at the topmost value.
static int64_t push(const int64_t *code, int64_t *stack, Machine *machine)
{
    stack[1] = code[1];
    NEXT(code + 2, stack + 1);
}
static int64_t load(const int64_t *code, int64_t *stack, Machine *machine)
{
    stack[1] = machine->variables[code[1]];
    NEXT(code + 2, stack + 1);
}
static int64_t store(const int64_t *code, int64_t *stack, Machine *machine)
{
    machine->variables[code[1]] = stack[0];
    NEXT(code + 2, stack - 1);
}
static int64_t add(const int64_t *code, int64_t *stack, Machine *machine)
{
    stack[-1] += stack[0];
    NEXT(code + 1, stack - 1);
}
static int64_t sub(const int64_t *code, int64_t *stack, Machine *machine)
{
    stack[-1] -= stack[0];
    NEXT(code + 1, stack - 1);
}
static int64_t mul(const int64_t *code, int64_t *stack, Machine *machine)
{
    stack[-1] *= stack[0];
    NEXT(code + 1, stack - 1);
}
static int64_t mod(const int64_t *code, int64_t *stack, Machine *machine)
{
    stack[-1] %= stack[0];
    NEXT(code + 1, stack - 1);
}
static int64_t jump_nonzero(const int64_t *code, int64_t *stack, Machine *machine)
{
    const int64_t *target = stack[0] ? code + code[1] : code + 2;
    NEXT(target, stack - 1);
}
static int64_t halt(const int64_t *code, int64_t *stack, Machine *machine)
{
    (void)code, (void)machine;
    return stack[0];
}

static void run(const char *name, const int64_t *code, int64_t argument)
{
    int64_t stack[16] = {0};
    Machine machine = {0, {argument, 1, 0, 0}};
    int64_t result = STEPS[*code](code, stack, &machine);
    printf("%s(%" PRId64 ") = %" PRId64 " after %" PRIu64 " steps\n", name, argument, result, machine.steps);
}

int main(void)
{
    // v1 = v1 * v0; v0 = v0 - 1; while v0
    static const int64_t factorial[] = {
        LOAD, 1, LOAD, 0, MUL, STORE, 1,
        LOAD, 0, PUSH, 1, SUB, STORE, 0,
        LOAD, 0, JUMP_NONZERO, -16, LOAD, 1, HALT,
    };
    // A linear congruential generator, v0 times: v1 = (v1 * 48271 + v0) mod 2147483647
    static const int64_t lehmer[] = {
        LOAD, 1, PUSH, 48271, MUL, LOAD, 0, ADD, PUSH, 2147483647, MOD, STORE, 1,
        LOAD, 0, PUSH, 1, SUB, STORE, 0,
        LOAD, 0, JUMP_NONZERO, -22, LOAD, 1, HALT,
    };
    run("factorial", factorial, 20);
    run("lehmer", lehmer, 10);
    run("lehmer", lehmer, 1000000);
    return 0;
}
