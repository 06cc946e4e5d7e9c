;; Writes 64 KiB lines to stderr, a hundred times; then, if the path begins with "/t", it traps.
(module
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 4)
    (data (i32.const 1024) "Content-Type: text/plain\n\nfine\n")
    ;; Writes all of it, however long the other side takes.
    (func $write (param $fd i32) (param $at i32) (param $len i32)
        (loop $more
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $len))
            (if (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $exit (i32.const 29))))
            (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
            (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 8))))
            (br_if $more (local.get $len))))
    ;; Whether the path is longer than "/": the first argument is the path.
    (func $asked (result i32)
        (drop (call $args_get (i32.const 2048) (i32.const 4096)))
        (i32.load8_u offset=1 (i32.load (i32.const 2048))))
    (func $fine (call $write (i32.const 1) (i32.const 1024) (i32.const 31)))
    (func (export "_start") (local $n i32)
        (if (i32.eqz (call $asked)) (then (call $fine) (return)))
        (local.set $n (i32.const 100))
        (loop $again
            (call $write (i32.const 2) (i32.const 65536) (i32.const 65536))
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (br_if $again (local.get $n)))
        (if (i32.eq (call $asked) (i32.const 0x74)) (then (unreachable)))
        (call $fine)))
