;;; initialise
;;; error it has neither a start function nor an export _initialize; name the export that initialises it
(module (func (export "run")))
