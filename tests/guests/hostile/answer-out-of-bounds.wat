;; Answers with what is not in its memory.
(i32.store (i32.const 512) (i32.const 65536))
(i32.store (i32.const 516) (i32.const 1000000))
(return (i32.const 512))
