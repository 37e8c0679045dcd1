;; Calls itself until there is no stack.
(drop (call $evaluate (local.get $audiences) (local.get $audiences_len)
    (local.get $conditions) (local.get $conditions_len)
    (local.get $values) (local.get $values_len)))
