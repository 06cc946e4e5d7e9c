// A tour of the file system under one directory: everything a program that was granted a
// directory may do there, each step checked and reported.
//
//   files DIR
//
// Creates, writes, seeks and patches, appends, truncates, lists, renames, removes.

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *directory;

static const char *path_of(const char *name)
{
    static char paths[2][512];
    static int next;
    next = !next; // two paths may be in use at once, for rename
    snprintf(paths[next], sizeof paths[next], "%s/%s", directory, name);
    return paths[next];
}

static void check(int ok, const char *step)
{
    if (!ok) {
        printf("FAILED %s: %s\n", step, strerror(errno));
        exit(1);
    }
    printf("ok %s\n", step);
}

static void show(const char *name)
{
    char text[256];
    FILE *file = fopen(path_of(name), "r");
    check(file != NULL, "open to read");
    size_t got = fread(text, 1, sizeof text - 1, file);
    text[got] = 0;
    fclose(file);
    printf("%s: %zu bytes: [%s]\n", name, got, text);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void list(void)
{
    char names[64][64];
    size_t count = 0;
    DIR *dir = opendir(directory);
    check(dir != NULL, "open directory");
    for (struct dirent *entry; (entry = readdir(dir)) && count < 64;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            snprintf(names[count++], sizeof names[0], "%s", entry->d_name);
    closedir(dir);
    qsort(names, count, sizeof names[0], by_name);
    for (size_t i = 0; i < count; i++) {
        struct stat info;
        check(stat(path_of(names[i]), &info) == 0, "stat");
        if (S_ISDIR(info.st_mode))
            printf("  %s/\n", names[i]);
        else
            printf("  %s %lld\n", names[i], (long long)info.st_size);
    }
}

static void write_and_patch(void)
{
    FILE *file = fopen(path_of("poem.txt"), "w+");
    check(file != NULL, "create poem.txt");
    check(fputs("warp and weft and thread\n", file) >= 0, "write");
    check(fseek(file, 5, SEEK_SET) == 0, "seek to 5");
    check(fputs("AND", file) >= 0, "patch");
    check(fseek(file, 0, SEEK_END) == 0 && ftell(file) == 25, "seek to the end");
    check(fclose(file) == 0, "close");
    show("poem.txt");
}

static void append_and_truncate(void)
{
    int fd = open(path_of("poem.txt"), O_WRONLY | O_APPEND);
    check(fd >= 0, "open to append");
    check(write(fd, "selvedge\n", 9) == 9, "append");
    check(lseek(fd, 0, SEEK_CUR) == 34, "position after append");
    close(fd);
    show("poem.txt");
    fd = open(path_of("poem.txt"), O_RDWR);
    check(fd >= 0 && ftruncate(fd, 8) == 0, "truncate to 8");
    char tail[4] = {0};
    check(pread(fd, tail, 3, 5) == 3 && strcmp(tail, "AND") == 0, "read at offset 5");
    close(fd);
    show("poem.txt");
}

int main(int argc, char **argv)
{
    directory = argc > 1 ? argv[1] : ".";
    write_and_patch();
    append_and_truncate();
    check(mkdir(path_of("attic"), 0777) == 0, "make directory");
    check(mkdir(path_of("attic"), 0777) == -1 && errno == EEXIST, "refuse to make it twice");
    check(rename(path_of("poem.txt"), path_of("attic/old.txt")) == 0, "rename into it");
    check(access(path_of("poem.txt"), F_OK) == -1 && errno == ENOENT, "old name is gone");
    check(rmdir(path_of("attic")) == -1 && errno == ENOTEMPTY, "refuse to remove a full directory");
    FILE *file = fopen(path_of("kept.txt"), "w");
    check(file && fprintf(file, "%d %s %.3f\n", 42, "kept", 2.5) > 0 && fclose(file) == 0, "write kept.txt");
    list();
    show("attic/old.txt");
    check(unlink(path_of("attic/old.txt")) == 0, "unlink");
    check(rmdir(path_of("attic")) == 0, "remove directory");
    check(fopen(path_of("../outside.txt"), "w") == NULL, "cannot escape by ..");
    list();
    return 0;
}
