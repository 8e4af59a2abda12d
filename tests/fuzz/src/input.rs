//! A fuzz input read from front to back; what is missing reads as zeros, so that every input means something.

pub struct Input<'a> {
    bytes: &'a [u8],
}

/// Numbers at which comparisons change their mind.
const EDGES: [u64; 12] =
    [0, 1, 2, 56, 4096, 65_536, (64 << 20) + 1, u32::MAX as u64, (1 << 62) - 1, 1 << 62, u64::MAX - 1, u64::MAX];

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Input<'a> {
        Input { bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(n.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    pub fn rest(self) -> &'a [u8] {
        self.bytes
    }

    pub fn u8(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn u16(&mut self) -> u16 {
        u16::from(self.u8()) | u16::from(self.u8()) << 8
    }

    pub fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        let taken = self.take(8);
        bytes[..taken.len()].copy_from_slice(taken);
        u64::from_le_bytes(bytes)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::from(self.u16()) % n.max(1)
    }

    /// A value for a field that has `now`: near it, an edge, or anything. Mostly near: far off is refused by the first check.
    pub fn value(&mut self, now: u64) -> u64 {
        match self.u8() {
            0..=99 => now.wrapping_add(u64::from(self.u8())),
            100..=179 => now.wrapping_sub(u64::from(self.u8())),
            180..=229 => EDGES[usize::from(self.u8()) % EDGES.len()],
            230..=244 => u64::from(self.u16()),
            _ => self.u64(),
        }
    }
}
