(assert_invalid (module (memory 0) (memory 0)) "multiple memories")
