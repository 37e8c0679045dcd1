;; Writes where it has no memory.
(i32.store (i32.const -4) (i32.const 0))
