// Everything that is done with a descriptor: reading, writing, positions, sizes, times, flags, rights,
// renumbering, closing; what a directory and a closed descriptor answer.
//
//   fd            what every implementation answers alike
//   fd more       several buffers at once, allocating, descriptors as they are not to be used
//   fd wrong      places, flags and rights that are wrong

#include "wasi.h"

static u32 file, done;
static u64 position;
static char text[64];
static __wasi_fdstat_t stat;
static __wasi_filestat_t attributes;

static __wasi_ciovec_t out(const char *bytes)
{
    return (__wasi_ciovec_t){(const uint8_t *)bytes, strlen(bytes)};
}

static __wasi_iovec_t in(u32 at, u32 len) { return (__wasi_iovec_t){(uint8_t *)text + at, len}; }

static void show_done(void) { printf("  %u bytes\n", done); }

static void show_position(void) { printf("  position %llu\n", position); }

static void show_text(void) { printf("  %u bytes, [%.*s]\n", done, (int)done, text); }

static void show_stat(void) { printf("  %s, flags %u\n", type_names[stat.fs_filetype], stat.fs_flags); }

static void show_attributes(void)
{
    printf("  %s, size %llu, links %llu, atim %llu, mtim %llu\n", type_names[attributes.filetype], attributes.size,
           attributes.nlink, attributes.atim, attributes.mtim);
}

static void data(void)
{
    __wasi_ciovec_t one = out("warp and weft"), and = out("AND");
    __wasi_iovec_t seven = in(0, 7);
    SHOW(fd_write(file, &one, 1, &done));
    show_done();
    SHOW(fd_tell(file, &position));
    show_position();
    SHOW(fd_seek(file, 5, __WASI_WHENCE_SET, &position));
    SHOW(fd_read(file, &seven, 1, &done));
    show_text();
    SHOW(fd_seek(file, -4, __WASI_WHENCE_END, &position));
    show_position();
    SHOW(fd_seek(file, 100, __WASI_WHENCE_CUR, &position));
    show_position();
    SHOW(fd_read(file, &seven, 1, &done));
    show_done();
    SHOW(fd_pwrite(file, &and, 1, 5, &done));
    show_done();
    SHOW(fd_pread(file, &seven, 1, 5, &done));
    show_text();
    SHOW(fd_pread(file, &seven, 1, 1000, &done));
    show_done();
    SHOW(fd_write(file, &one, 0, &done));
    show_done();
    SHOW(fd_tell(file, &position));
    show_position();
    SHOW(fd_sync(file));
    SHOW(fd_datasync(file));
}

// All buffers in one call, empty ones among them; a call may do less, but no file does.
static void vectors(void)
{
    __wasi_ciovec_t two[] = {out("warp and "), out("weft")};
    __wasi_iovec_t scattered[] = {in(0, 2), in(2, 0), in(2, 5)}, overlapping[] = {in(0, 4), in(2, 4)};
    SHOW(fd_write(file, two, 2, &done));
    show_done();
    SHOW(fd_seek(file, 5, __WASI_WHENCE_SET, &position));
    SHOW(fd_read(file, scattered, 3, &done));
    show_text();
    SHOW(fd_pwrite(file, two, 2, 20, &done));
    show_done();
    SHOW(fd_pread(file, scattered, 3, 20, &done));
    show_text();
    SHOW(fd_pread(file, overlapping, 2, 0, &done));
    show_text();
}

static void allocating(void)
{
    SHOW(fd_allocate(file, 50, 150));
    SHOW(fd_filestat_get(file, &attributes));
    printf("  size %llu\n", attributes.size);
    SHOW(fd_allocate(file, 0, 10));
    SHOW(fd_filestat_get(file, &attributes));
    printf("  size %llu\n", attributes.size);
    SHOW(fd_allocate(file, 0, 0));
    SHOW(fd_allocate(file, 0xffffffffffffffff, 1));
    SHOW(fd_allocate(DIR, 0, 1));
}

static void sizes_and_times(void)
{
    SHOW(fd_filestat_set_size(file, 4));
    SHOW(fd_filestat_set_times(file, 1000000001, 2000000002, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM));
    SHOW(fd_filestat_get(file, &attributes));
    show_attributes();
    SHOW(fd_filestat_set_times(file, 3000000003, 5, __WASI_FSTFLAGS_ATIM));
    SHOW(fd_filestat_get(file, &attributes));
    show_attributes();
    SHOW(fd_filestat_set_times(file, 9, 9, 0));
    SHOW(fd_filestat_set_times(file, 0, 0, __WASI_FSTFLAGS_MTIM_NOW));
    SHOW(fd_filestat_get(file, &attributes));
    printf("  the present is %s\n", attributes.mtim > 1600000000000000000 ? "later" : "earlier");
    SHOW(fd_filestat_set_size(file, 100));
    SHOW(fd_filestat_get(file, &attributes));
    printf("  size %llu\n", attributes.size);
    for (u32 advice = 0; advice < 6; advice++)
        SHOW(fd_advise(file, 0, 0, advice));
}

static void flags(void)
{
    SHOW(fd_fdstat_get(file, &stat));
    show_stat();
    SHOW(fd_fdstat_set_flags(file, __WASI_FDFLAGS_APPEND));
    SHOW(fd_fdstat_get(file, &stat));
    show_stat();
    SHOW(fd_seek(file, 0, __WASI_WHENCE_SET, &position));
    __wasi_ciovec_t end = out("end");
    SHOW(fd_write(file, &end, 1, &done));
    SHOW(fd_tell(file, &position));
    show_position();
    SHOW(fd_fdstat_set_flags(file, __WASI_FDFLAGS_NONBLOCK));
    SHOW(fd_fdstat_get(file, &stat));
    show_stat();
    SHOW(fd_fdstat_set_flags(file, 0));
    SHOW(fd_fdstat_set_flags(file, __WASI_FDFLAGS_SYNC));
}

static void renumbering(void)
{
    u32 other = 0;
    SHOW(path_open(DIR, 0, P("other"), __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, 0, &other));
    SHOW(fd_renumber(file, other));
    SHOW(fd_filestat_get(other, &attributes));
    printf("  size %llu\n", attributes.size);
    SHOW(fd_tell(file, &position));
    SHOW(fd_renumber(other, file));
    SHOW(fd_renumber(other, 1000));
    SHOW(fd_renumber(other, other));
    file = other;
}

static void preopens(void)
{
    __wasi_prestat_t prestat;
    SHOW(fd_prestat_get(DIR, &prestat));
    printf("  tag %u, %zu bytes\n", prestat.tag, prestat.u.dir.pr_name_len);
    SHOW(fd_prestat_dir_name(DIR, text, 5));
    printf("  [%.5s]\n", text);
    SHOW(fd_prestat_dir_name(DIR, text, 4));
    SHOW(fd_prestat_get(0, &prestat));
    SHOW(fd_prestat_get(file, &prestat));
    SHOW(fd_prestat_get(DIR + 50, &prestat));
    SHOW(fd_fdstat_get(DIR, &stat));
    show_stat();
    SHOW(fd_filestat_get(DIR, &attributes));
    printf("  %s\n", type_names[attributes.filetype]);
}

static void wrong_places(void)
{
    SHOW(fd_prestat_get(DIR, NOWHERE));
    SHOW(fd_prestat_dir_name(DIR, NOWHERE, 5));
    __wasi_iovec_t wild[] = {in(0, 4), {(uint8_t *)NOWHERE, 4}}, wrapping = {(uint8_t *)text, 0xffffffff};
    SHOW(fd_read(file, NOWHERE, 1, &done));
    SHOW(fd_read(file, wild, 2, &done));
    SHOW(fd_read(file, &wrapping, 1, &done));
    SHOW(fd_read(file, wild, 1, NOWHERE));
    SHOW(fd_read(file, wild, 0x20000000, &done));
    SHOW(fd_pread(file, wild, 2, 0, &done));
    SHOW(fd_write(file, wild, 2, &done));
    SHOW(fd_write(file, &wrapping, 1, &done));
    SHOW(fd_write(file, wild, 1, NOWHERE));
    SHOW(fd_pwrite(file, wild, 2, 0, &done));
    SHOW(fd_seek(file, 0, __WASI_WHENCE_SET, NOWHERE));
    SHOW(fd_tell(file, NOWHERE));
    SHOW(fd_fdstat_get(file, NOWHERE));
    SHOW(fd_filestat_get(file, last_bytes(63)));
}

static void wrong_flags(void)
{
    SHOW(fd_fdstat_set_flags(file, 0x8000));
    SHOW(fd_seek(file, 0, 3, &position));
    SHOW(fd_advise(file, 0, 0, 6));
    SHOW(fd_filestat_set_times(file, 0, 0, 0x10));
}

static void wrong_values(void)
{
    __wasi_iovec_t some = in(0, 4);
    SHOW(fd_seek(file, -1, __WASI_WHENCE_SET, &position));
    SHOW(fd_seek(file, -1000, __WASI_WHENCE_END, &position));
    SHOW(fd_pread(file, &some, 1, 0xffffffffffffffff, &done));
    SHOW(fd_pwrite(file, &some, 1, 0xffffffffffffffff, &done));
    SHOW(fd_filestat_set_size(file, 0xffffffffffffffff));
    SHOW(fd_advise(file, 0xffffffffffffffff, 1, 0));
    SHOW(fd_filestat_set_times(file, 0, 0, __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_ATIM_NOW));
}

static void a_directory_is_no_file(void)
{
    __wasi_iovec_t some = in(0, 4);
    SHOW(fd_read(DIR, &some, 1, &done));
    SHOW(fd_write(DIR, &some, 1, &done));
    SHOW(fd_seek(DIR, 0, __WASI_WHENCE_SET, &position));
    SHOW(fd_tell(DIR, &position));
    SHOW(fd_advise(DIR, 0, 0, 0));
    SHOW(fd_filestat_set_size(DIR, 0));
}

static void rights(void)
{
    __wasi_iovec_t some = in(0, 4);
    SHOW(fd_fdstat_set_rights(file, __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_TELL, 0));
    SHOW(fd_fdstat_get(file, &stat));
    printf("  base %llx, inheriting %llx\n", stat.fs_rights_base, stat.fs_rights_inheriting);
    SHOW(fd_read(file, &some, 1, &done));
    SHOW(fd_tell(file, &position));
    SHOW(fd_write(file, &some, 1, &done));
    SHOW(fd_seek(file, 0, __WASI_WHENCE_SET, &position));
    SHOW(fd_sync(file));
    SHOW(fd_filestat_get(file, &attributes));
    SHOW(fd_filestat_set_size(file, 0));
    SHOW(fd_fdstat_set_flags(file, 0));
    SHOW(fd_fdstat_set_rights(file, FILE_RIGHTS, 0));
}

static void nothing_is_open(void)
{
    __wasi_iovec_t some = in(0, 4);
    SHOW(fd_close(file));
    SHOW(fd_close(file));
    SHOW(fd_read(file, &some, 1, &done));
    SHOW(fd_write(file, &some, 1, &done));
    SHOW(fd_pread(file, &some, 1, 0, &done));
    SHOW(fd_pwrite(file, &some, 1, 0, &done));
    SHOW(fd_seek(file, 0, 0, &position));
    SHOW(fd_tell(file, &position));
    SHOW(fd_sync(file));
    SHOW(fd_datasync(file));
    SHOW(fd_advise(file, 0, 0, 0));
    SHOW(fd_allocate(file, 0, 1));
    SHOW(fd_fdstat_get(file, &stat));
    SHOW(fd_fdstat_set_flags(file, 0));
    SHOW(fd_fdstat_set_rights(file, 0, 0));
    SHOW(fd_filestat_get(file, &attributes));
    SHOW(fd_filestat_set_size(file, 0));
    SHOW(fd_filestat_set_times(file, 0, 0, 0));
    SHOW(fd_prestat_dir_name(file, text, 5));
    SHOW(fd_renumber(file, DIR));
    SHOW(fd_renumber(DIR, file));
    SHOW(fd_close(0xffffffff));
}

int main(int argc, char **argv)
{
    SHOW(path_open(DIR, 0, P("file"), __WASI_OFLAGS_CREAT, FILE_RIGHTS, 0, 0, &file));
    if (argc > 1 && strcmp(argv[1], "more") == 0) {
        vectors();
        allocating();
        a_directory_is_no_file();
        return 0;
    }
    if (argc > 1) {
        wrong_places();
        wrong_flags();
        rights();
        return 0;
    }
    data();
    sizes_and_times();
    flags();
    renumbering();
    preopens();
    wrong_values();
    nothing_is_open();
    return 0;
}
