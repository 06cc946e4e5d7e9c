;; The guest of `bench call`: loops of n additions of 1, done in place, by a direct call, through a table,
;; and by the host. Each addition takes the result of the one before.
(module
  (type $binary (func (param i32 i32) (result i32)))
  (import "host" "add" (func $host_add (type $binary)))
  (table 4 funcref)
  (elem (i32.const 0) $add $subtract)

  (func $add (export "add") (type $binary) (i32.add (local.get 0) (local.get 1)))
  (func $subtract (type $binary) (i32.sub (local.get 0) (local.get 1)))

  (func (export "empty") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (i32.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  (func (export "direct") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (call $add (local.get $sum) (i32.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  ;; The index comes out of a memory cell, so that no compiler can know the callee.
  (memory 1)
  (func (export "indirect") (param $n i32) (result i32) (local $sum i32) (local $at i32)
    (local.set $at (i32.load (i32.const 64)))
    (loop $again
      (local.set $sum (call_indirect (type $binary) (local.get $sum) (i32.const 1) (local.get $at)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum))

  (func (export "to_host") (param $n i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (call $host_add (local.get $sum) (i32.const 1)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
