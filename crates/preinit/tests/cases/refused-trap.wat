;;; initialise init
;;; error wasm trap: unreachable
;;; error     0: deep (wasm 0x22)
;;; error     1: init (wasm 0x26)
(module (func $deep unreachable) (func $init (export "init") (call $deep)))
