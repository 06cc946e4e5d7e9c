;;; initialise init
;;; memory-max 3
;;; error the store's memories would exceed 196608 bytes (memory_bytes_max)
(module (memory 4) (func (export "init")))
