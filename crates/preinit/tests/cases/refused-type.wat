;;; initialise init
;;; error the export "init" is a func (i32) -> (i64); what initialises a module takes and returns nothing
(module (func (export "init") (param i32) (result i64) (i64.const 0)))
