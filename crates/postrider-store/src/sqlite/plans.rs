//! Which index each query uses.
