;; --emit clif --generated
;; --emit asm --generated
(module
  (import "env" "f" (func (param i32 f64) (result i64 i32))))
