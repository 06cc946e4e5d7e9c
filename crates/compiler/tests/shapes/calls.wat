;; --emit clif
;; --emit asm
(module
  (type $t (func (param i32) (result i32)))
  (import "env" "f" (func $import (type $t)))
  (func $own (type $t) (local.get 0))
  (func $direct (type $t) (call $own (local.get 0)))
  (func $imported (type $t) (call $import (local.get 0)))
  (func $tail (type $t) (return_call $own (local.get 0)))
  (func $tail_imported (type $t) (return_call $import (local.get 0))))
