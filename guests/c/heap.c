// Works the heap: a pool of blocks of changing sizes, tens of megabytes at the peak, every byte
// checked before it is given back; then binary trees built and torn down.
//
//   heap [MEGABYTES]        the peak, 48 unless given
//   heap exhaust            takes all there is, and recovers

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 4096, ROUNDS = 40000 };

typedef struct {
    uint8_t *bytes;
    size_t size;
    uint8_t fill;
} Block;

typedef struct Node {
    struct Node *left, *right;
    int64_t key;
} Node;

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t next_random(void) // xorshift64*
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return seed * 0x2545f4914f6cdd1du;
}

static void *must(void *block)
{
    if (!block) {
        printf("out of memory\n");
        exit(3);
    }
    return block;
}

static void verify(const Block *block)
{
    for (size_t i = 0; i < block->size; i++)
        if (block->bytes[i] != block->fill) {
            printf("corrupt block: byte %zu is %d, not %d\n", i, block->bytes[i], block->fill);
            exit(2);
        }
}

// Allocates, reallocates and frees at random, checking contents; prints what it did.
static void churn(size_t megabytes)
{
    static Block pool[BLOCKS];
    size_t live = 0, peak = 0, freed = 0, limit = megabytes << 20, biggest = 2 * limit / BLOCKS;
    for (int round = 0; round < ROUNDS; round++) {
        Block *block = &pool[next_random() % BLOCKS];
        size_t size = next_random() % biggest + 1;
        verify(block);
        live -= block->size;
        if (block->bytes && next_random() % 4 == 0) {
            free(block->bytes);
            *block = (Block){0};
            freed++;
            continue;
        }
        block->bytes = must(realloc(block->bytes, size));
        block->size = size;
        block->fill = (uint8_t)round;
        memset(block->bytes, block->fill, size);
        live += size;
        peak = live > peak ? live : peak;
    }
    for (int i = 0; i < BLOCKS; i++) {
        verify(&pool[i]);
        free(pool[i].bytes);
    }
    printf("churn: %d rounds, %zu freed on the way, peak %zu KiB, last %zu KiB\n", ROUNDS, freed, peak >> 10, live >> 10);
}

static Node *insert(Node *node, int64_t key)
{
    if (!node) {
        node = must(malloc(sizeof *node));
        *node = (Node){NULL, NULL, key};
    } else if (key < node->key) {
        node->left = insert(node->left, key);
    } else {
        node->right = insert(node->right, key);
    }
    return node;
}

static int depth(const Node *node)
{
    if (!node)
        return 0;
    int left = depth(node->left), right = depth(node->right);
    return 1 + (left > right ? left : right);
}

static int64_t tear_down(Node *node)
{
    if (!node)
        return 0;
    int64_t sum = tear_down(node->left) * 31 + node->key;
    sum = sum * 31 + tear_down(node->right);
    free(node);
    return (int64_t)((uint64_t)sum % 1000000007u);
}

// Asks for more than a 32-bit memory can hold; a block it got is usable at both ends.
static void exhaust(void)
{
    enum { PIECE = 256 << 20, PIECES = 64 };
    static char *pieces[PIECES];
    int count = 0;
    while (count < PIECES && (pieces[count] = malloc(PIECE))) {
        pieces[count][0] = pieces[count][PIECE - 1] = (char)count;
        count++;
    }
    printf("malloc %s\n", count < PIECES ? "said no" : "never said no");
    for (int i = 0; i < count; i++) {
        if (pieces[i][0] != i || pieces[i][PIECE - 1] != i)
            printf("piece %d is corrupt\n", i);
        free(pieces[i]);
    }
    free(must(malloc(1 << 20)));
    printf("and recovered\n");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "exhaust") == 0) {
        exhaust();
        return 0;
    }
    churn(argc > 1 ? strtoul(argv[1], NULL, 10) : 48);
    for (int count = 1000; count <= 100000; count *= 10) {
        Node *root = NULL;
        for (int i = 0; i < count; i++)
            root = insert(root, (int64_t)(next_random() >> 20));
        printf("tree of %d: depth %d", count, depth(root));
        printf(", checksum %" PRId64 "\n", tear_down(root));
    }
    return 0;
}
