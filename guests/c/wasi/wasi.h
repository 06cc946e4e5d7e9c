// WASI preview 1 as a module imports it, with no C library between: so that programs can pass what
// wasi-libc never would. Pointers are `const void *`, so that any address can be one; results are errnos.
//
//   SHOW(fd_close(99));      prints   fd_close(99): badf

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <wasi/api.h>

typedef const void *ptr;
typedef uint32_t u32;
typedef uint64_t u64;

#ifndef WASI_MODULE
#define WASI_MODULE "wasi_snapshot_preview1"
#endif
#define WASI(name, ...) \
    __attribute__((import_module(WASI_MODULE), import_name(#name))) int32_t name(__VA_ARGS__)

WASI(args_get, ptr argv, ptr buffer);
WASI(args_sizes_get, ptr count, ptr bytes);
WASI(environ_get, ptr environ, ptr buffer);
WASI(environ_sizes_get, ptr count, ptr bytes);
WASI(clock_res_get, u32 id, ptr resolution);
WASI(clock_time_get, u32 id, u64 precision, ptr time);
WASI(fd_advise, u32 fd, u64 offset, u64 len, u32 advice);
WASI(fd_allocate, u32 fd, u64 offset, u64 len);
WASI(fd_close, u32 fd);
WASI(fd_datasync, u32 fd);
WASI(fd_fdstat_get, u32 fd, ptr stat);
WASI(fd_fdstat_set_flags, u32 fd, u32 flags);
WASI(fd_fdstat_set_rights, u32 fd, u64 base, u64 inheriting);
WASI(fd_filestat_get, u32 fd, ptr stat);
WASI(fd_filestat_set_size, u32 fd, u64 size);
WASI(fd_filestat_set_times, u32 fd, u64 atim, u64 mtim, u32 flags);
WASI(fd_pread, u32 fd, ptr iovs, u32 count, u64 offset, ptr done);
WASI(fd_prestat_get, u32 fd, ptr prestat);
WASI(fd_prestat_dir_name, u32 fd, ptr path, u32 len);
WASI(fd_pwrite, u32 fd, ptr iovs, u32 count, u64 offset, ptr done);
WASI(fd_read, u32 fd, ptr iovs, u32 count, ptr done);
WASI(fd_readdir, u32 fd, ptr buffer, u32 len, u64 cookie, ptr used);
WASI(fd_renumber, u32 from, u32 to);
WASI(fd_seek, u32 fd, int64_t offset, u32 whence, ptr position);
WASI(fd_sync, u32 fd);
WASI(fd_tell, u32 fd, ptr position);
WASI(fd_write, u32 fd, ptr iovs, u32 count, ptr done);
WASI(path_create_directory, u32 fd, ptr path, u32 len);
WASI(path_filestat_get, u32 fd, u32 lookup, ptr path, u32 len, ptr stat);
WASI(path_filestat_set_times, u32 fd, u32 lookup, ptr path, u32 len, u64 atim, u64 mtim, u32 flags);
WASI(path_link, u32 fd, u32 lookup, ptr path, u32 len, u32 new_fd, ptr new_path, u32 new_len);
WASI(path_open, u32 fd, u32 lookup, ptr path, u32 len, u32 open, u64 base, u64 inheriting, u32 flags, ptr opened);
WASI(path_readlink, u32 fd, ptr path, u32 len, ptr buffer, u32 buffer_len, ptr used);
WASI(path_remove_directory, u32 fd, ptr path, u32 len);
WASI(path_rename, u32 fd, ptr path, u32 len, u32 new_fd, ptr new_path, u32 new_len);
WASI(path_symlink, ptr target, u32 target_len, u32 fd, ptr path, u32 len);
WASI(path_unlink_file, u32 fd, ptr path, u32 len);
WASI(poll_oneoff, ptr subscriptions, ptr events, u32 count, ptr happened);
WASI(proc_raise, u32 signal);
WASI(random_get, ptr buffer, u32 len);
WASI(sched_yield, void);
WASI(sock_accept, u32 fd, u32 flags, ptr accepted);
WASI(sock_recv, u32 fd, ptr iovs, u32 count, u32 flags, ptr done, ptr out_flags);
WASI(sock_send, u32 fd, ptr iovs, u32 count, u32 flags, ptr done);
WASI(sock_shutdown, u32 fd, u32 how);
__attribute__((import_module(WASI_MODULE), import_name("proc_exit"))) void proc_exit(u32 code);

// A path argument: its address and length.
#define P(path) path, sizeof(path) - 1
// The directory that was granted.
#define DIR 3
// No memory is there.
#define NOWHERE ((ptr)0xfffffff0)

#define SHOW(call) show(#call, call)

static const char *const errno_names[] = {
    "ok", "2big", "acces", "addrinuse", "addrnotavail", "afnosupport", "again", "already", "badf", "badmsg", "busy",
    "canceled", "child", "connaborted", "connrefused", "connreset", "deadlk", "destaddrreq", "dom", "dquot", "exist",
    "fault", "fbig", "hostunreach", "idrm", "ilseq", "inprogress", "intr", "inval", "io", "isconn", "isdir", "loop",
    "mfile", "mlink", "msgsize", "multihop", "nametoolong", "netdown", "netreset", "netunreach", "nfile", "nobufs",
    "nodev", "noent", "noexec", "nolck", "nolink", "nomem", "nomsg", "noprotoopt", "nospc", "nosys", "notconn",
    "notdir", "notempty", "notrecoverable", "notsock", "notsup", "notty", "nxio", "overflow", "ownerdead", "perm",
    "pipe", "proto", "protonosupport", "prototype", "range", "rofs", "spipe", "srch", "stale", "timedout", "txtbsy",
    "xdev", "notcapable",
};

static const char *errno_name(u32 number)
{
    return number < sizeof errno_names / sizeof *errno_names ? errno_names[number] : "unknown";
}

static inline int32_t show(const char *call, int32_t number)
{
    printf("%s: %s\n", call, errno_name(number));
    return number;
}

static const char *const type_names[] = {
    "unknown", "block device", "character device", "directory", "file", "datagram socket", "stream socket", "link",
};

// The last bytes of memory: what begins here and is longer does not fit.
static inline char *last_bytes(u32 count)
{
    return (char *)(__builtin_wasm_memory_size(0) * 65536) - count;
}

// What a program usually asks for; no directory can be read or written as a file.
#define FILE_RIGHTS                                                                                                \
    (__WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE | __WASI_RIGHTS_FD_SEEK | __WASI_RIGHTS_FD_TELL |              \
     __WASI_RIGHTS_FD_FDSTAT_SET_FLAGS | __WASI_RIGHTS_FD_FILESTAT_GET | __WASI_RIGHTS_FD_FILESTAT_SET_SIZE |      \
     __WASI_RIGHTS_FD_FILESTAT_SET_TIMES | __WASI_RIGHTS_FD_ADVISE | __WASI_RIGHTS_FD_ALLOCATE |                   \
     __WASI_RIGHTS_FD_SYNC | __WASI_RIGHTS_FD_DATASYNC | __WASI_RIGHTS_POLL_FD_READWRITE)
