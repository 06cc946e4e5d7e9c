// A calculator: one expression a line on standard input, its value in several formats.
//
//   expression = term  { ("+" | "-") term }
//   term       = power { ("*" | "/" | "%") power }
//   power      = unary [ "^" power ]
//   unary      = "-" unary | number | name "(" expression ")" | name | "(" expression ")"
//
// Recursive descent, functions called through a table of pointers, all the shapes of printf("%g").
// With `calc --nest N` it evaluates N nested parentheses: N times the recursion's depth on the stack.

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *at;    // where the parser stands
static const char *error; // the first error of this line

static double square(double x) { return x * x; }

static const struct {
    const char *name;
    double (*function)(double);
} FUNCTIONS[] = {
    {"abs", fabs}, {"atan", atan}, {"ceil", ceil}, {"cos", cos},     {"exp", exp},     {"floor", floor},
    {"ln", log},   {"sin", sin},   {"sqrt", sqrt}, {"tan", tan},     {"trunc", trunc}, {"square", square},
};

static double expression(void);

static char peek(void)
{
    while (isspace((unsigned char)*at))
        at++;
    return *at;
}

static int accept(char c)
{
    if (peek() != c)
        return 0;
    at++;
    return 1;
}

static double fail(const char *message)
{
    if (!error)
        error = message;
    return NAN;
}

static double parenthesised(void)
{
    double value = expression();
    return accept(')') ? value : fail("expected )");
}

static double named(void)
{
    const char *start = at;
    while (isalpha((unsigned char)*at))
        at++;
    size_t length = (size_t)(at - start);
    if (length == 2 && strncmp(start, "pi", 2) == 0)
        return acos(-1);
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++)
        if (strlen(FUNCTIONS[i].name) == length && strncmp(FUNCTIONS[i].name, start, length) == 0)
            return accept('(') ? FUNCTIONS[i].function(parenthesised()) : fail("expected (");
    return fail("unknown name");
}

static double unary(void)
{
    char c = peek();
    if (accept('-'))
        return -unary();
    if (accept('('))
        return parenthesised();
    if (isalpha((unsigned char)c))
        return named();
    char *end;
    double value = strtod(at, &end);
    if (end == at)
        return fail("expected a number");
    at = end;
    return value;
}

static double power(void)
{
    double base = unary();
    return accept('^') ? pow(base, power()) : base;
}

static double term(void)
{
    double value = power();
    for (;;) {
        if (accept('*'))
            value *= power();
        else if (accept('/'))
            value /= power();
        else if (accept('%'))
            value = fmod(value, power());
        else
            return value;
    }
}

static double expression(void)
{
    double value = term();
    for (;;) {
        if (accept('+'))
            value += term();
        else if (accept('-'))
            value -= term();
        else
            return value;
    }
}

static double evaluate(const char *text)
{
    at = text;
    error = NULL;
    double value = expression();
    if (!error && peek())
        fail("unexpected character");
    return value;
}

static void nest(size_t depth)
{
    char *text = malloc(2 * depth + 2);
    if (!text)
        exit(1);
    memset(text, '(', depth);
    text[depth] = '7';
    memset(text + depth + 1, ')', depth);
    text[2 * depth + 1] = 0;
    printf("%zu parentheses around %g\n", depth, evaluate(text));
    free(text);
}

int main(int argc, char **argv)
{
    char line[512];
    if (argc == 3 && strcmp(argv[1], "--nest") == 0) {
        nest(strtoul(argv[2], NULL, 10));
        return 0;
    }
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        double value = evaluate(line);
        if (error)
            printf("%s -> error at column %d: %s\n", line, (int)(at - line) + 1, error);
        else if (isnan(value)) // printf may show its sign, which no two machines agree on
            printf("%s -> not a number\n", line);
        else
            printf("%s -> %g | %.6f | %.3e | %.17g\n", line, value, value, value, value);
    }
    return 0;
}
