;; Counts the primes up to its argument (default 1000000) with the sieve of Eratosthenes.
;;
;;   selvedge run examples/primes.wat 1000000
;;   78498 primes up to 1000000, the last is 999983
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

  ;; 0: counts from the host   16: an iovec   32: argument pointers   1024: argument bytes
  ;; 2048: the output line     4096: messages 65536: the sieve, a byte per number
  (memory (export "memory") 2)
  (data (i32.const 4096) " primes up to ")
  (data (i32.const 4112) ", the last is ")
  (data (i32.const 4128) "usage: primes [NUMBER], from 2 to 1000000000\n")

  (global $end (mut i32) (i32.const 2048)) ;; where the output line ends

  (func $write (param $fd i32) (param $at i32) (param $len i32)
    (i32.store (i32.const 16) (local.get $at))
    (i32.store (i32.const 20) (local.get $len))
    (drop (call $fd_write (local.get $fd) (i32.const 16) (i32.const 1) (i32.const 0))))

  (func $usage
    (call $write (i32.const 2) (i32.const 4128) (i32.const 45))
    (call $proc_exit (i32.const 2))
    unreachable)

  ;; Appends text to the output line.
  (func $text (param $at i32) (param $len i32)
    (memory.copy (global.get $end) (local.get $at) (local.get $len))
    (global.set $end (i32.add (global.get $end) (local.get $len))))

  ;; Appends a number to the output line.
  (func $number (param $n i32)
    (if (i32.ge_u (local.get $n) (i32.const 10))
      (then (call $number (i32.div_u (local.get $n) (i32.const 10)))))
    (i32.store8 (global.get $end) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
    (global.set $end (i32.add (global.get $end) (i32.const 1))))

  ;; The number that the NUL-terminated text at $at spells.
  (func $parse (param $at i32) (result i32)
    (local $n i64) (local $digit i32)
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
      (if (i32.lt_u (local.get $digit) (i32.const 10))
        (then
          (local.set $n (i64.add (i64.mul (local.get $n) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
          (if (i64.gt_u (local.get $n) (i64.const 1000000000)) (then (call $usage)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next))))
    (if (i32.or (i32.load8_u (local.get $at)) (i64.lt_u (local.get $n) (i64.const 2))) (then (call $usage)))
    (i32.wrap_i64 (local.get $n)))

  ;; The first argument as a number.
  (func $limit (result i32)
    (drop (call $args_sizes_get (i32.const 0) (i32.const 4)))
    (if (i32.lt_u (i32.load (i32.const 0)) (i32.const 2)) (then (return (i32.const 1000000))))
    (if (i32.or (i32.gt_u (i32.load (i32.const 0)) (i32.const 2)) (i32.gt_u (i32.load (i32.const 4)) (i32.const 1000)))
      (then (call $usage)))
    (drop (call $args_get (i32.const 32) (i32.const 1024)))
    (call $parse (i32.load (i32.const 36))))

  ;; Grows memory so that the sieve has a byte for every number up to $n.
  (func $reserve (param $n i32)
    (local $pages i32)
    (local.set $pages (i32.add (i32.shr_u (local.get $n) (i32.const 16)) (i32.const 1)))
    (if (i32.eq (memory.grow (local.get $pages)) (i32.const -1)) (then unreachable)))

  ;; Marks the multiples of a prime.
  (func $strike (param $prime i32) (param $n i32)
    (local $i i32)
    (local.set $i (i32.mul (local.get $prime) (local.get $prime)))
    (loop $next
      (if (i32.le_u (local.get $i) (local.get $n))
        (then
          (i32.store8 offset=65536 (local.get $i) (i32.const 1))
          (local.set $i (i32.add (local.get $i) (local.get $prime)))
          (br $next)))))

  (func (export "_start")
    (local $n i32) (local $i i32) (local $count i32) (local $last i32)
    (local.set $n (call $limit))
    (call $reserve (local.get $n))
    (local.set $i (i32.const 2))
    (loop $next
      (if (i32.eqz (i32.load8_u offset=65536 (local.get $i)))
        (then
          (local.set $count (i32.add (local.get $count) (i32.const 1)))
          (local.set $last (local.get $i))
          (if (i32.lt_u (local.get $i) (i32.const 31623))
            (then (call $strike (local.get $i) (local.get $n))))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.le_u (local.get $i) (local.get $n))))
    (call $number (local.get $count))
    (call $text (i32.const 4096) (i32.const 14))
    (call $number (local.get $n))
    (call $text (i32.const 4112) (i32.const 14))
    (call $number (local.get $last))
    (i32.store8 (global.get $end) (i32.const 10))
    (call $write (i32.const 1) (i32.const 2048)
      (i32.sub (i32.add (global.get $end) (i32.const 1)) (i32.const 2048)))))
