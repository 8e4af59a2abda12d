//! Latencies in buckets of about 3 %: cheap to record, and the driver can add up those of several slots.
//! The Go arms and the driver use the same buckets.

const SUB_BITS: u32 = 5;
const SUB: u64 = 1 << SUB_BITS;

pub struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; (SUB * 60) as usize] }
    }

    pub fn record(&mut self, ns: u64) {
        self.counts[bucket(ns)] += 1;
    }

    pub fn add(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// The given quantile in microseconds; 0 without records.
    pub fn quantile_us(&self, quantile: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let rank = (total as f64 * quantile).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle_ns(index as u64) as f64 / 1000.0;
            }
        }
        0.0
    }

    /// The buckets that are not empty, as JSON pairs.
    pub fn to_json(&self) -> String {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let pairs: Vec<String> = filled.map(|(index, count)| format!("[{index},{count}]")).collect();
        format!("[{}]", pairs.join(","))
    }
}

fn bucket(ns: u64) -> usize {
    if ns < SUB {
        return ns as usize;
    }
    let shift = 63 - ns.leading_zeros() - SUB_BITS;
    (u64::from(shift) * SUB + (ns >> shift)) as usize
}

fn middle_ns(index: u64) -> u64 {
    if index < 2 * SUB {
        return index;
    }
    let shift = index / SUB - 1;
    ((index - shift * SUB) << shift) + (1 << shift) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buckets that overlapped or left a gap would bend every percentile of every arm.
    #[test]
    fn middle_lies_in_its_own_bucket() {
        for ns in (0..100_000).chain([1 << 30, (1 << 40) + 12345]) {
            let middle = middle_ns(bucket(ns) as u64);
            assert_eq!(bucket(middle), bucket(ns), "{ns}");
            assert!(middle.abs_diff(ns) * 20 <= ns.max(20), "{ns} became {middle}");
        }
    }
}
