//! Flushes that many partitions share: a group of each is written beside the others', and one flush of the disk makes all of them durable.
//! What was acknowledged survives a power cut, what goes wrong with one is that one's, and what goes wrong with the flush is healed by each.

mod faults;
mod field;
mod hang;
mod power;
mod who;
