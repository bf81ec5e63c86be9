//! The C library: the functions of `rungroup.h`, which the crate `rungroup` has.

// Without a use of the crate nothing of it is linked.
extern crate exports as _;
