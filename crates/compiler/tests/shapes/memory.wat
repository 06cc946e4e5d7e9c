;; --emit clif
;; --emit asm
;; --emit clif --memory dense
;; --emit asm --memory dense
(module
  (memory 1 16)
  ;; Guarded: no check. Dense: the index is clamped to the reservation.
  (func $near (param i32) (result i32) (i32.load offset=8 (local.get 0)))
  ;; Beyond the guard: the index is clamped so that offset and all stay within the reservation.
  (func $far (param i32) (result i64) (i64.load offset=0x8000000 (local.get 0)))
  (func $store (param i32 i32) (i32.store16 (local.get 0) (local.get 1)))
  ;; One clamp serves both accesses.
  (func $two (param i32) (result i32)
    (i32.add (i32.load offset=4 (local.get 0)) (i32.load offset=8 (local.get 0))))
  ;; The same for two offsets beyond the guard that are near each other.
  (func $struct (param i32) (result i32)
    (i32.add (i32.load offset=65544 (local.get 0)) (i32.load offset=65560 (local.get 0))))
  ;; A constant needs none.
  (func $fixed (result i32) (i32.load offset=70000 (i32.const 8)))
  ;; Nothing is there, whatever the index.
  (func $never (param i32) (result i32) (i32.load offset=0xfffffff0 (local.get 0)))
  (func $just_beyond (param i32) (result i32) (i32.load offset=0x100020 (local.get 0))))
