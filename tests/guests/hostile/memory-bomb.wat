;; Takes memory as long as there is any.
(loop $again (drop (memory.grow (i32.const 1))) (br $again))
