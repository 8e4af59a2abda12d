//! The first inputs of each target. They are made, not kept: one of every step with values from a small generator.

/// `target`'s seeds; none for a target that there is not.
pub fn of(target: &str) -> Vec<Vec<u8>> {
    let (count, length) = match target {
        "format" => (28, 160),
        "scan" => (40, 300),
        "directory" => (60, 90),
        "calls" => (60, 400),
        "cubefs" => (40, 60),
        _ => (0, 0),
    };
    (0..count).map(|n| seed(n, length)).collect()
}

/// Bytes from a xorshift, the first of them counting up so that every step comes first once.
fn seed(number: u64, length: usize) -> Vec<u8> {
    let mut state = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = vec![number as u8];
    bytes.extend((1..length).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    }));
    bytes
}
