//! What the fuzz targets share. Inputs are read as numbers and steps, not as files: a mutated step is still a step, with
//! checksums that match, and gets past the first check.

pub mod c_side;
pub mod damage;
pub mod heap;
pub mod input;
pub mod memory_file;
pub mod seeds;
