;;; initialise init
;;; error it exports no function "init"; it has run, stop
(module (memory (export "setup") 1) (func (export "run")) (func (export "stop")))
