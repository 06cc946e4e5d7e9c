/* wasi-libc has no long jumps; programs here that include this header never jump. */
typedef int jmp_buf[1];
