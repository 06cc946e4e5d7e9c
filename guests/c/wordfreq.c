// Counts the words of standard input and prints the most frequent ones.
//
//   wordfreq [TOP]          TOP: how many words to print, 10 unless given
//   WORDFREQ_MIN=n          leaves out words shorter than n letters
//
// A hash table with open addressing (FNV-1a), doubled when two thirds full; qsort with a comparator.

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *word; // NULL: the slot is free
    size_t count;
} Slot;

typedef struct {
    Slot *slots;
    size_t capacity; // a power of two
    size_t used;
} Table;

static uint64_t fnv1a(const char *text)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (; *text; text++) {
        hash ^= (unsigned char)*text;
        hash *= 0x100000001b3u;
    }
    return hash;
}

static void *allocate(size_t count, size_t size)
{
    void *block = calloc(count, size);
    if (!block) {
        fprintf(stderr, "wordfreq: out of memory\n");
        exit(1);
    }
    return block;
}

static Slot *find(const Table *table, const char *word)
{
    size_t index = fnv1a(word) & (table->capacity - 1);
    while (table->slots[index].word && strcmp(table->slots[index].word, word) != 0)
        index = (index + 1) & (table->capacity - 1);
    return &table->slots[index];
}

static void grow(Table *table)
{
    Table bigger = {allocate(table->capacity * 2, sizeof(Slot)), table->capacity * 2, table->used};
    for (size_t i = 0; i < table->capacity; i++)
        if (table->slots[i].word)
            *find(&bigger, table->slots[i].word) = table->slots[i];
    free(table->slots);
    *table = bigger;
}

static void add(Table *table, const char *word)
{
    if (table->used * 3 >= table->capacity * 2)
        grow(table);
    Slot *slot = find(table, word);
    if (!slot->word) {
        slot->word = allocate(strlen(word) + 1, 1);
        strcpy(slot->word, word);
        table->used++;
    }
    slot->count++;
}

// Most frequent first, then by alphabet.
static int compare(const void *left, const void *right)
{
    const Slot *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return strcmp(a->word, b->word);
}

// Reads one lower-cased word; letters past the buffer's end are dropped. Returns its length, 0 at the end.
static size_t read_word(char *buffer, size_t size)
{
    size_t length = 0;
    int c;
    while ((c = getchar()) != EOF) {
        if (isalpha(c)) {
            if (length + 1 < size)
                buffer[length++] = (char)tolower(c);
        } else if (length) {
            break;
        }
    }
    buffer[length] = 0;
    return length;
}

int main(int argc, char **argv)
{
    const char *min_text = getenv("WORDFREQ_MIN");
    size_t top = argc > 1 ? strtoul(argv[1], NULL, 10) : 10;
    size_t min = min_text ? strtoul(min_text, NULL, 10) : 1;
    size_t words = 0, length, filled = 0;
    char buffer[64];
    Table table = {allocate(16, sizeof(Slot)), 16, 0};

    while ((length = read_word(buffer, sizeof buffer)) > 0) {
        words++;
        if (length >= min)
            add(&table, buffer);
    }
    for (size_t i = 0; i < table.capacity; i++)
        if (table.slots[i].word)
            table.slots[filled++] = table.slots[i];
    qsort(table.slots, filled, sizeof(Slot), compare);

    printf("%zu words, %zu different of at least %zu letters\n", words, filled, min);
    for (size_t i = 0; i < filled && i < top; i++)
        printf("%6zu %s\n", table.slots[i].count, table.slots[i].word);
    return 0;
}
