"""The benchmark: named cases, subjects in processes of their own, interleaved rounds, parity before every timing."""
