//! Record what a container build does, with eBPF.

fn main() {}
