// Ends badly, in the way its argument names. What it prints first must not be lost.

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*Function)(int);

static volatile int zero = 0;
static volatile size_t one_past = 64;

static int do_abort(int x) { abort(); return x; }
static int do_trap(int x) { __builtin_trap(); return x; }
static int do_exit(int x) { exit(7); return x; }
static int do_divide(int x) { return x / zero; }
static int do_remainder(int x) { return x % zero; }

// The one quotient that does not fit: -2147483648 / -1.
static int do_overflow(int x) { return (INT_MIN + zero) / (zero - x / x); }

// A pointer far outside any memory this program has.
static int do_wild_read(int x) { return *(volatile int *)(0xfffffff0u - (unsigned)zero) + x; }
static int do_wild_write(int x) { *(volatile int *)(0xe0000000u + (unsigned)zero) = x; return x; }

// Reads on and on upwards until memory ends.
static int do_overrun(int x)
{
    static volatile unsigned char small[64];
    for (volatile unsigned char *byte = small + one_past; zero == 0; byte += 4096)
        x += *byte;
    return x;
}

// Recursion without end, the frames on the stack that C keeps in linear memory. Linked with
// --stack-first, that stack runs below address 0.
static int do_recurse_frames(int x)
{
    Function volatile self = do_recurse_frames;
    volatile char frame[1024] = {0};
    return self(x + 1) * 3 + frame[x & 1023];
}

// Recursion without end on the machine's own stack: no local lives in memory, and each call has
// something left to do, so it is no loop in disguise.
static __attribute__((noinline)) unsigned deep(unsigned x)
{
    return (x & 1) ? deep(deep(x + 1) ^ x) + 1 : deep(x + 3) * 5 + x;
}
static int do_recurse(int x) { return (int)deep((unsigned)x); }

static void takes_nothing(void) {}
static int do_null_call(int x)
{
    Function volatile none = (Function)(size_t)zero;
    return none(x);
}
static int do_wrong_signature(int x)
{
    Function volatile wrong = (Function)(void (*)(void))takes_nothing;
    return wrong(x);
}
static int do_far_call(int x)
{
    Function volatile far_away = (Function)(size_t)(0x7fffff00 + zero);
    return far_away(x);
}

static const struct {
    const char *name;
    Function function;
} WAYS[] = {
    {"abort", do_abort},           {"trap", do_trap},
    {"exit", do_exit},             {"divide", do_divide},
    {"remainder", do_remainder},   {"overflow", do_overflow},
    {"wild-read", do_wild_read},   {"wild-write", do_wild_write},
    {"overrun", do_overrun},       {"recurse", do_recurse},
    {"recurse-frames", do_recurse_frames}, {"null-call", do_null_call},
    {"wrong-signature", do_wrong_signature}, {"far-call", do_far_call},
};

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++) {
        if (strcmp(WAYS[i].name, way) != 0)
            continue;
        printf("about to fail: %s\n", way);
        fflush(stdout);
        printf("survived: %d\n", WAYS[i].function(argc));
        return 0;
    }
    fprintf(stderr, "fail: no way called \"%s\"\n", way);
    return 64;
}
