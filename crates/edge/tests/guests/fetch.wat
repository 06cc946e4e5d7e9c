;; Asks another server what its own request's body says, line by line: how often, the method, the URL, headers up to an
;; empty line; then comes the body. Answers with the last answer: status, headers, an empty line, the body; or with the
;; number of the error. Of those before it keeps the answers open, and tells errors.
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "req"
    (func $req (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "headers_get_all" (func $headers (param i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "body_read" (func $body_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_experimental_http" "close" (func $close (param i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 256) "Content-Type: text/plain\n\n")
  (data (i32.const 288) "error ")
  (data (i32.const 296) "status ")
  (data (i32.const 304) "\n")
  (global $end (mut i32) (i32.const 4096))
  (global $begun (mut i32) (i32.const 0))
  ;; The first time, its own head before that.
  (func $print (param $at i32) (param $len i32)
    (if (i32.eqz (global.get $begun))
      (then
        (global.set $begun (i32.const 1))
        (call $print (i32.const 256) (i32.const 26))))
    (block $done
      (loop $more
        (br_if $done (i32.eqz (local.get $len)))
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $len))
        (br_if $done (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
        (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 8))))
        (br $more))))
  (func $number (param $text i32) (param $len i32) (param $n i32)
    (local $at i32)
    (call $print (local.get $text) (local.get $len))
    (local.set $at (i32.const 128))
    (loop $more
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $n) (i32.const 10))))
      (local.set $n (i32.div_u (local.get $n) (i32.const 10)))
      (br_if $more (local.get $n)))
    (call $print (local.get $at) (i32.sub (i32.const 128) (local.get $at)))
    (call $print (i32.const 304) (i32.const 1)))
  ;; The place of the next end of a line.
  (func $line (param $at i32) (result i32)
    (block $found
      (loop $more
        (br_if $found (i32.ge_u (local.get $at) (global.get $end)))
        (br_if $found (i32.eq (i32.load8_u (local.get $at)) (i32.const 10)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $more)))
    (local.get $at))
  (func (export "_start")
    (local $count i32) (local $at i32) (local $error i32) (local $handle i32)
    (local $method i32) (local $method_end i32) (local $url i32) (local $url_end i32) (local $headers i32) (local $body i32)
    (block $all
      (loop $more
        (i32.store (i32.const 0) (global.get $end))
        (i32.store (i32.const 4) (i32.const 65536))
        (br_if $all (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (br_if $all (i32.eqz (i32.load (i32.const 8))))
        (global.set $end (i32.add (global.get $end) (i32.load (i32.const 8))))
        (br $more)))
    (local.set $at (i32.const 4096))
    ;; As it is when it is deployed.
    (if (i32.eq (global.get $end) (i32.const 4096))
      (then
        (call $print (i32.const 304) (i32.const 1))
        (return)))
    (loop $digits
      (local.set $count
        (i32.add (i32.mul (local.get $count) (i32.const 10)) (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $digits (i32.gt_u (i32.load8_u (local.get $at)) (i32.const 47))))
    (local.set $method (i32.add (local.get $at) (i32.const 1)))
    (local.set $method_end (call $line (local.get $method)))
    (local.set $url (i32.add (local.get $method_end) (i32.const 1)))
    (local.set $url_end (call $line (local.get $url)))
    (local.set $headers (i32.add (local.get $url_end) (i32.const 1)))
    (local.set $body (local.get $headers))
    (block $empty
      (loop $lines
        (local.set $at (call $line (local.get $body)))
        (br_if $empty (i32.eq (local.get $at) (local.get $body)))
        (local.set $body (i32.add (local.get $at) (i32.const 1)))
        (br $lines)))
    (loop $again
      (local.set $error (call $req
        (local.get $url) (i32.sub (local.get $url_end) (local.get $url))
        (local.get $method) (i32.sub (local.get $method_end) (local.get $method))
        (local.get $headers) (i32.sub (local.get $body) (local.get $headers))
        (i32.add (local.get $body) (i32.const 1))
        (i32.sub (global.get $end) (i32.add (local.get $body) (i32.const 1)))
        (i32.const 16) (i32.const 20)))
      (if (local.get $error) (then (call $number (i32.const 288) (i32.const 6) (local.get $error))))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br_if $again (local.get $count)))
    (if (local.get $error) (then (return)))
    (local.set $handle (i32.load (i32.const 20)))
    (call $number (i32.const 296) (i32.const 7) (i32.load16_u (i32.const 16)))
    (drop (call $headers (local.get $handle) (i32.const 131072) (i32.const 65536) (i32.const 24)))
    (call $print (i32.const 131072) (i32.load (i32.const 24)))
    (call $print (i32.const 304) (i32.const 1))
    (block $ended
      (loop $more
        (local.set $error (call $body_read (local.get $handle) (i32.const 131072) (i32.const 65536) (i32.const 24)))
        (if (local.get $error)
          (then
            (call $number (i32.const 288) (i32.const 6) (local.get $error))
            (return)))
        (br_if $ended (i32.eqz (i32.load (i32.const 24))))
        (call $print (i32.const 131072) (i32.load (i32.const 24)))
        (br $more)))
    (drop (call $close (local.get $handle)))
    (if (i32.ne (call $close (local.get $handle)) (i32.const 1)) (then unreachable))
    (if (i32.ne (call $body_read (local.get $handle) (i32.const 0) (i32.const 1) (i32.const 24)) (i32.const 1))
      (then unreachable))))
