//! The built binary as a process: start, stop, kill, and everything a person meets on the command line.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod database_faults;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod full_disk;
#[cfg(test)]
mod https;
#[cfg(test)]
mod listen;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod midway;
#[cfg(test)]
mod names;
#[cfg(test)]
mod nodes;
#[cfg(test)]
mod once;
#[cfg(test)]
mod operator_keys;
#[cfg(test)]
mod otlp;
#[cfg(test)]
mod outcomes;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod receiver;
#[cfg(test)]
mod resources;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod service;
#[cfg(test)]
mod start;
#[cfg(test)]
mod store_files;
