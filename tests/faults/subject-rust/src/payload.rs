//! What an entry carries: bytes that follow from who it belongs to, so that a misplaced, stale, shortened or flipped one
//! is known when it is read. The Go subject has the same function.

use std::sync::OnceLock;

/// What payloads are cut from, if set.
static PIECES: OnceLock<Vec<u8>> = OnceLock::new();

/// Chooses what entries carry: `random`, `zeros`, or `file:<path>` for pieces of a file.
pub fn set_payload(kind: &str) -> Result<(), String> {
    let pieces = match kind.strip_prefix("file:") {
        Some(path) => std::fs::read(path).map_err(|e| format!("payloads from {path}: {e}"))?,
        None if kind == "random" => return Ok(()),
        None if kind == "zeros" => vec![0],
        None => return Err(format!("payload {kind:?}; it must be random, zeros or file:<path>")),
    };
    if pieces.is_empty() {
        return Err(format!("{kind} is empty"));
    }
    PIECES.set(pieces).map_err(|_| "the payload is set already".to_string())
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finalizer of splitmix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

pub fn payload(partition: u64, index: u64, term: u64, bytes: usize) -> Vec<u8> {
    if let Some(pieces) = PIECES.get() {
        let at = (index * 4096 % pieces.len() as u64) as usize;
        return pieces.iter().copied().cycle().skip(at).take(bytes).collect();
    }
    let mut state = mix(partition.wrapping_add(GOLDEN));
    for word in [index, term, bytes as u64] {
        state = mix((state ^ word).wrapping_add(GOLDEN));
    }
    let mut out = Vec::with_capacity(bytes.div_ceil(8) * 8);
    while out.len() < bytes {
        state = state.wrapping_add(GOLDEN);
        out.extend_from_slice(&mix(state).to_le_bytes());
    }
    out.truncate(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::payload;

    #[test]
    fn the_same_as_in_go() {
        let want = [0xac, 0x17, 0x98, 0xcf, 0xb7, 0x69, 0x4a, 0xed, 0xdb, 0x57, 0x38, 0x44];
        assert_eq!(payload(1, 2, 3, 12), want);
        assert_ne!(payload(1, 2, 3, 13)[..12], want);
    }
}
