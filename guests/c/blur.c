// Draws a picture by arithmetic, blurs it with 128-bit vectors and again without, and compares.
// Build it with -msimd128: the vectors are the compiler's own vector types, so it builds anywhere.

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 512, HEIGHT = 256, PASSES = 8 };

typedef float Vec4 __attribute__((vector_size(16)));
typedef uint8_t Bytes16 __attribute__((vector_size(16)));

static float picture[HEIGHT][WIDTH], scalar[HEIGHT][WIDTH], vector[HEIGHT][WIDTH], scratch[HEIGHT][WIDTH];

static void draw(void)
{
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) {
            float dx = (float)(x - WIDTH / 2), dy = (float)(y - HEIGHT / 2) * 2;
            float ring = sqrtf(dx * dx + dy * dy) / 16;
            picture[y][x] = ((int)ring % 2) ? 255.0f : (float)((x ^ y) & 255);
        }
}

static void blur_scalar(float image[HEIGHT][WIDTH])
{
    for (int y = 0; y < HEIGHT; y++) {
        int up = y ? y - 1 : y, down = y + 1 < HEIGHT ? y + 1 : y;
        for (int x = 0; x < WIDTH; x++)
            scratch[y][x] = image[up][x] * 0.25f + image[y][x] * 0.5f + image[down][x] * 0.25f;
    }
    memcpy(image, scratch, sizeof scratch);
}

static Vec4 load(const float *from)
{
    Vec4 value;
    memcpy(&value, from, sizeof value);
    return value;
}

static void blur_vector(float image[HEIGHT][WIDTH])
{
    for (int y = 0; y < HEIGHT; y++) {
        int up = y ? y - 1 : y, down = y + 1 < HEIGHT ? y + 1 : y;
        for (int x = 0; x < WIDTH; x += 4) {
            Vec4 sum = load(&image[up][x]) * 0.25f + load(&image[y][x]) * 0.5f + load(&image[down][x]) * 0.25f;
            memcpy(&scratch[y][x], &sum, sizeof sum);
        }
    }
    memcpy(image, scratch, sizeof scratch);
}

// Sixteen sums at once, in bytes that wrap, then folded: a checksum that lives in the lanes.
static unsigned lane_checksum(const float image[HEIGHT][WIDTH])
{
    Bytes16 sums = {0};
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x += 16) {
            Bytes16 pixels;
            for (int i = 0; i < 16; i++)
                pixels[i] = (uint8_t)image[y][x + i];
            sums = (sums << 1 | sums >> 7) + (pixels ^ (Bytes16)(sums > pixels));
        }
    unsigned folded = 0;
    for (int i = 0; i < 16; i++)
        folded = folded * 31 + sums[i];
    return folded;
}

static void print_thumbnail(const float image[HEIGHT][WIDTH])
{
    static const char shades[] = " .:-=+*#%@";
    for (int y = 8; y < HEIGHT; y += 16) {
        for (int x = 4; x < WIDTH; x += 8)
            putchar(shades[(int)(image[y][x] / 25.6f)]);
        putchar('\n');
    }
}

int main(void)
{
    draw();
    memcpy(scalar, picture, sizeof picture);
    memcpy(vector, picture, sizeof picture);
    for (int pass = 0; pass < PASSES; pass++) {
        blur_scalar(scalar);
        blur_vector(vector);
    }
    int same = memcmp(scalar, vector, sizeof scalar) == 0;
    print_thumbnail(vector);
    printf("checksums %08x %08x, vectors %s\n", lane_checksum(picture), lane_checksum(vector),
           same ? "agree with scalars" : "DIFFER from scalars");
    return !same;
}
