/* A service of `bench edge`: says where it was asked, by CGI. It uses stdio and the environment, as programs do. */
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    const char *path = getenv("PATH_INFO");
    printf("Content-Type: text/plain\n\nhello from %s\n", path ? path : "nowhere");
    return 0;
}
