;; A service: answers every request with a line of text, and says on stderr that it did.
;; `selvedge serve` in one terminal, `selvedge deploy examples/hello.wat --site hello` in another, then
;; `curl http://hello.localhost:8080/`.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  ;; A CGI program's answer: header lines, an empty line, the body.
  (data (i32.const 64) "Content-Type: text/plain\n\nhello, from a fresh instance\n")
  (data (i32.const 256) "one more request\n")

  (func $write (param $stream i32) (param $text i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $text))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (local.get $stream) (i32.const 0) (i32.const 1) (i32.const 8))))

  (func (export "_start")
    (call $write (i32.const 1) (i32.const 64) (i32.const 55))
    (call $write (i32.const 2) (i32.const 256) (i32.const 17))))
