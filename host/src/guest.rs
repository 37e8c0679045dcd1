//! Everything that knows wasmtime: loading rule modules and calling them.
