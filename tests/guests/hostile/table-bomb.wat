;; Takes a table that is as large as memory would be.
(drop (table.grow $table (ref.null func) (i32.const 100000)))
