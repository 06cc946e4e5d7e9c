// Everything that is done with a path, on a tree of
//
//   file, dir/inner, link -> file, dirlink -> dir, dangling -> nothing, loop -> loop,
//   out -> ../outside, deep -> dir/../dir/inner
//
// and the ways in which paths are wrong: that leave the directory, are empty, absolute, end in slashes. With an
// argument: places, flags and rights that are wrong.

#include "wasi.h"

#define FOLLOW __WASI_LOOKUPFLAGS_SYMLINK_FOLLOW

static u32 fd, used;
static char text[64];
static __wasi_filestat_t attributes;

static void show_type(void)
{
    printf("  %s, size %llu, links %llu\n", type_names[attributes.filetype], attributes.size, attributes.nlink);
}

// Opens for reading and closes again.
static int32_t try_open(ptr path, u32 len, u32 lookup, u32 open)
{
    int32_t errno = path_open(DIR, lookup, path, len, open, __WASI_RIGHTS_FD_READ, 0, 0, &fd);
    return errno ? errno : fd_close(fd);
}

static void making(void)
{
    SHOW(path_create_directory(DIR, P("dir")));
    SHOW(path_create_directory(DIR, P("dir")));
    SHOW(path_create_directory(DIR, P("new/")));
    SHOW(path_create_directory(DIR, P("none/new")));
    SHOW(path_open(DIR, 0, P("file"), __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, 0, &fd));
    __wasi_ciovec_t out = {(const uint8_t *)"hello", 5};
    SHOW(fd_write(fd, &out, 1, &used));
    SHOW(fd_close(fd));
    SHOW(try_open(P("dir/inner"), 0, __WASI_OFLAGS_CREAT));
    SHOW(path_symlink(P("file"), DIR, P("link")));
    SHOW(path_symlink(P("dir"), DIR, P("dirlink")));
    SHOW(path_symlink(P("nothing"), DIR, P("dangling")));
    SHOW(path_symlink(P("loop"), DIR, P("loop")));
    SHOW(path_symlink(P("../outside"), DIR, P("out")));
    SHOW(path_symlink(P("dir/../dir/inner"), DIR, P("deep")));
    SHOW(path_symlink(P("x"), DIR, P("link")));
    SHOW(path_symlink(P("x"), DIR, P("none/link")));
    SHOW(path_symlink(P("x"), DIR, P("trailing/")));
}

static void opening(void)
{
    SHOW(try_open(P("file"), 0, 0));
    SHOW(try_open(P("./dir//inner"), 0, 0));
    SHOW(try_open(P("dir/../file"), 0, 0));
    SHOW(try_open(P("."), 0, 0));
    SHOW(try_open(P("dir"), 0, __WASI_OFLAGS_DIRECTORY));
    SHOW(try_open(P("dir/"), 0, __WASI_OFLAGS_DIRECTORY));
    SHOW(try_open(P("link"), FOLLOW, 0));
    SHOW(try_open(P("deep"), FOLLOW, 0));
    SHOW(try_open(P("dirlink/inner"), 0, 0));
    SHOW(try_open(P("link"), 0, 0));
    SHOW(try_open(P("dangling"), FOLLOW, 0));
    SHOW(try_open(P("loop"), FOLLOW, 0));
    SHOW(try_open(P("none"), 0, 0));
    SHOW(try_open(P("none/none"), 0, 0));
    SHOW(try_open(P("file/none"), 0, 0));
    SHOW(try_open(P("file/"), 0, 0));
    SHOW(try_open(P("file"), 0, __WASI_OFLAGS_DIRECTORY));
    SHOW(try_open(P("file"), 0, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL));
    SHOW(path_open(DIR, 0, P("dir"), 0, FILE_RIGHTS, 0, 0, &fd));
    SHOW(path_open(99, 0, P("file"), 0, 0, 0, 0, &fd));
    SHOW(path_open(1, 0, P("file"), 0, 0, 0, 0, &fd));
    SHOW(path_open(DIR, 0, P("file"), __WASI_OFLAGS_TRUNC, FILE_RIGHTS, 0, 0, &fd));
    SHOW(fd_filestat_get(fd, &attributes));
    show_type();
    SHOW(fd_close(fd));
}

static void leaving(void)
{
    SHOW(try_open(P(".."), 0, 0));
    SHOW(try_open(P("../outside"), 0, 0));
    SHOW(try_open(P("dir/../../outside"), 0, 0));
    SHOW(try_open(P("/etc/passwd"), 0, 0));
    SHOW(try_open(P("out"), FOLLOW, 0));
    SHOW(path_filestat_get(DIR, FOLLOW, P("out"), &attributes));
    SHOW(path_filestat_get(DIR, 0, P(".."), &attributes));
    SHOW(path_create_directory(DIR, P("../new")));
    SHOW(path_remove_directory(DIR, P("dir/../..")));
    SHOW(path_unlink_file(DIR, P("../outside")));
    SHOW(path_rename(DIR, P("file"), DIR, P("../file")));
    SHOW(path_rename(DIR, P("../outside"), DIR, P("inside")));
    SHOW(path_link(DIR, 0, P("../outside"), DIR, P("inside")));
    SHOW(path_link(DIR, FOLLOW, P("out"), DIR, P("inside")));
    SHOW(path_link(DIR, 0, P("file"), DIR, P("../file")));
    SHOW(path_symlink(P("x"), DIR, P("../link")));
    SHOW(path_symlink(P("/etc/passwd"), DIR, P("absolute")));
    SHOW(path_readlink(DIR, P("../link"), text, sizeof text, &used));
    SHOW(path_filestat_set_times(DIR, FOLLOW, P("out"), 0, 0, 0));
}

static void attributes_of(void)
{
    SHOW(path_filestat_get(DIR, 0, P("dir"), &attributes));
    printf("  %s\n", type_names[attributes.filetype]);
    SHOW(path_filestat_get(DIR, 0, P("link"), &attributes));
    show_type();
    SHOW(path_filestat_get(DIR, FOLLOW, P("link"), &attributes));
    show_type();
    SHOW(path_filestat_get(DIR, FOLLOW, P("dangling"), &attributes));
    SHOW(path_filestat_get(DIR, FOLLOW, P("loop"), &attributes));
    SHOW(path_filestat_get(DIR, 0, P("none"), &attributes));
    SHOW(path_filestat_set_times(DIR, 0, P("file"), 7, 1000000007, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM));
    SHOW(path_filestat_set_times(DIR, 0, P("link"), 9, 1000000009, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM));
    SHOW(path_filestat_get(DIR, 0, P("file"), &attributes));
    printf("  atim %llu, mtim %llu\n", attributes.atim, attributes.mtim);
    SHOW(path_filestat_get(DIR, 0, P("link"), &attributes));
    printf("  mtim %llu\n", attributes.mtim);
    SHOW(path_filestat_set_times(DIR, FOLLOW, P("link"), 9, 1000000011, __WASI_FSTFLAGS_MTIM));
    SHOW(path_filestat_get(DIR, 0, P("file"), &attributes));
    printf("  mtim %llu\n", attributes.mtim);
    SHOW(path_filestat_set_times(DIR, 0, P("file"), 0, 0, __WASI_FSTFLAGS_MTIM | __WASI_FSTFLAGS_MTIM_NOW));
    SHOW(path_filestat_set_times(DIR, 0, P("none"), 0, 0, 0));
}

static void reading_links(void)
{
    SHOW(path_readlink(DIR, P("deep"), text, sizeof text, &used));
    printf("  [%.*s]\n", (int)used, text);
    SHOW(path_readlink(DIR, P("deep"), text, 4, &used));
    printf("  [%.*s]\n", (int)used, text);
    SHOW(path_readlink(DIR, P("deep"), text, 0, &used));
    printf("  %u bytes\n", used);
    SHOW(path_readlink(DIR, P("file"), text, sizeof text, &used));
    SHOW(path_readlink(DIR, P("none"), text, sizeof text, &used));
}

static void linking(void)
{
    SHOW(path_link(DIR, 0, P("file"), DIR, P("dir/second")));
    SHOW(path_filestat_get(DIR, 0, P("file"), &attributes));
    show_type();
    SHOW(path_link(DIR, 0, P("file"), DIR, P("dir/second")));
    SHOW(path_link(DIR, 0, P("none"), DIR, P("third")));
    SHOW(path_link(DIR, 0, P("dir"), DIR, P("third")));
    SHOW(path_link(DIR, 0, P("file"), DIR, P("third/")));
    SHOW(path_link(DIR, 0, P("file/"), DIR, P("third")));
    SHOW(path_link(DIR, 0, P("link"), DIR, P("third")));
    SHOW(path_filestat_get(DIR, 0, P("third"), &attributes));
    show_type();
    SHOW(path_link(DIR, 0, P("file"), 99, P("fourth")));
}

static void renaming(void)
{
    SHOW(path_rename(DIR, P("third"), DIR, P("dir/third")));
    SHOW(path_rename(DIR, P("none"), DIR, P("some")));
    SHOW(path_rename(DIR, P("file"), DIR, P("none/file")));
    SHOW(path_rename(DIR, P("dir"), DIR, P("file")));
    SHOW(path_rename(DIR, P("file"), DIR, P("dir")));
    SHOW(path_rename(DIR, P("dir"), DIR, P("dir/sub")));
    SHOW(path_rename(DIR, P("new"), DIR, P("dir")));
    SHOW(path_rename(DIR, P("file"), DIR, P("file")));
    SHOW(path_rename(DIR, P("file"), DIR, P("renamed")));
    SHOW(path_rename(DIR, P("renamed"), 99, P("renamed")));
}

static void removing(void)
{
    SHOW(path_unlink_file(DIR, P("dir")));
    SHOW(path_unlink_file(DIR, P("dir/")));
    SHOW(path_unlink_file(DIR, P("renamed/")));
    SHOW(path_unlink_file(DIR, P("none")));
    SHOW(path_remove_directory(DIR, P("dir")));
    SHOW(path_remove_directory(DIR, P("renamed")));
    SHOW(path_remove_directory(DIR, P("dirlink")));
    SHOW(path_remove_directory(DIR, P("none")));
    SHOW(path_remove_directory(DIR, P("new")));
    SHOW(path_remove_directory(DIR, P("new")));
    SHOW(path_unlink_file(DIR, P("loop")));
    SHOW(path_unlink_file(DIR, P("dangling")));
    SHOW(path_unlink_file(DIR, P("dirlink")));
    SHOW(path_unlink_file(99, P("link")));
    SHOW(path_unlink_file(1, P("link")));
}

static void no_paths(void)
{
    SHOW(path_create_directory(DIR, P("")));
    SHOW(path_unlink_file(DIR, P("")));
    SHOW(try_open(P(""), 0, 0));
    SHOW(path_create_directory(DIR, P("a\0b")));
    SHOW(path_create_directory(DIR, P("a name that is longer than any file system will have it: it goes on and "
                                      "on, past a hundred bytes, past two hundred, and only when there are more "
                                      "than two hundred and fifty-five of them, which takes some time to write, "
                                      "does it come to a long desired end............")));
}

static void wrong(void)
{
    SHOW(path_remove_directory(DIR, P("new/")));
    SHOW(try_open(P("file"), 0, 0x10));
    SHOW(try_open(P("file"), 2, 0));
    SHOW(path_open(DIR, 0, P("file"), 0, 0, 0, 0x20, &fd));
    SHOW(path_filestat_get(DIR, 4, P("file"), &attributes));
    SHOW(path_filestat_set_times(DIR, 0, P("file"), 0, 0, 0x10));
    SHOW(path_open(DIR, 0, P("fresh"), __WASI_OFLAGS_CREAT, 0, 0, 0, NOWHERE));
    SHOW(path_filestat_get(DIR, 0, P("fresh"), &attributes));
    SHOW(path_filestat_get(DIR, 0, P("file"), NOWHERE));
    SHOW(path_readlink(DIR, P("deep"), NOWHERE, 64, &used));
    SHOW(path_readlink(DIR, P("deep"), text, sizeof text, NOWHERE));
    SHOW(path_create_directory(DIR, NOWHERE, 4));
    SHOW(path_create_directory(DIR, P("\xff\xfe")));
    SHOW(path_unlink_file(DIR, last_bytes(4), 5));
    SHOW(path_rename(DIR, P("file"), DIR, NOWHERE, 4));
    SHOW(path_symlink(NOWHERE, 4, DIR, P("x")));
    SHOW(path_link(DIR, 0, NOWHERE, 4, DIR, P("x")));
}

static void rights(void)
{
    u32 sub = 0;
    SHOW(path_open(DIR, 0, P("dir"), __WASI_OFLAGS_DIRECTORY, __WASI_RIGHTS_PATH_OPEN, __WASI_RIGHTS_FD_READ, 0, &sub));
    SHOW(path_open(sub, 0, P("inner"), 0, __WASI_RIGHTS_FD_READ, 0, 0, &fd));
    SHOW(fd_close(fd));
    SHOW(path_open(sub, 0, P("inner"), 0, __WASI_RIGHTS_FD_WRITE, 0, 0, &fd));
    SHOW(path_open(sub, 0, P("new"), __WASI_OFLAGS_CREAT, __WASI_RIGHTS_FD_READ, 0, 0, &fd));
    SHOW(path_unlink_file(sub, P("inner")));
    SHOW(path_create_directory(sub, P("new")));
    SHOW(path_filestat_get(sub, 0, P("inner"), &attributes));
    SHOW(path_readlink(sub, P("inner"), text, sizeof text, &used));
    SHOW(path_symlink(P("x"), sub, P("new")));
    SHOW(path_rename(sub, P("inner"), DIR, P("inner")));
    SHOW(path_link(DIR, 0, P("file"), sub, P("new")));
    SHOW(path_filestat_set_times(sub, 0, P("inner"), 0, 0, 0));
    SHOW(path_remove_directory(sub, P("new")));
    SHOW(fd_close(sub));
}

int main(int argc, char **argv)
{
    (void)argv;
    making();
    if (argc > 1) {
        wrong();
        rights();
        return 0;
    }
    opening();
    leaving();
    attributes_of();
    reading_links();
    linking();
    renaming();
    removing();
    no_paths();
    return 0;
}
