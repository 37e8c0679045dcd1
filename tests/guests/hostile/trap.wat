;; Gives up.
unreachable
