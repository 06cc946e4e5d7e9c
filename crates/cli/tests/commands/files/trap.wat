(module
  (memory 1)
  (func $inner (param $address i32) (result i32) (i32.load (local.get $address)))
  (func $outer (result i32) (call $inner (i32.const 65536)))
  (func (export "_start") (drop (call $outer))))
