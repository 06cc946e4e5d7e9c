;; --emit asm
(module
  (memory 1)
  ;; A counter is compared after it moved: one register, one branch back.
  (func $sum (param $end i32) (result i32) (local $i i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $i))))
      (br_if $again (i32.ne (local.tee $i (i32.add (local.get $i) (i32.const 4))) (i32.const 400))))
    (local.get $sum))
  ;; A loaded value is an index as it is.
  (func $chase (param $p i32) (result i32) (local $next i32)
    (local.set $next (i32.load (local.get $p)))
    (i32.add (i32.load offset=4 (local.get $next)) (i32.load offset=8 (local.get $next))))
  (func $table (param $p i32) (result i32)
    (i32.load8_u offset=256 (i32.load8_u (local.get $p)))))
