;;; initialise init
;;; error it imports env memory (memory 1); a module that is initialised in advance may import functions only: define it in the module
(module (import "env" "memory" (memory 1)) (func (export "init")))
