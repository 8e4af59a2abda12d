//! The id of a workload and what it asks for.

/// `B1/4096` is row B1 with one entry of 4,096 bytes per append; `B4/64x4096` has 64 such entries in each append.
#[derive(Clone)]
pub struct Workload {
    pub id: String,
    /// Row B1: an append returns when it is durable. Row B4: when it is in the page cache.
    pub durable: bool,
    pub batch: usize,
    pub payload_bytes: usize,
}

impl Workload {
    pub fn parse(id: &str) -> Option<Workload> {
        let (row, shape) = id.split_once('/')?;
        if let "B9" | "F7" | "F10" = row {
            let durable = shape.starts_with("sync");
            return Some(Workload { id: id.into(), durable, batch: 1, payload_bytes: 4096 });
        }
        let durable = match row {
            "B1" => true,
            "B4" => false,
            _ => return None,
        };
        let (batch, payload) = shape.split_once('x').unwrap_or(("1", shape));
        let (batch, payload_bytes) = (batch.parse().ok()?, payload.parse().ok()?);
        let valid = (1..=64).contains(&batch) && (1..=1 << 16).contains(&payload_bytes);
        valid.then(|| Workload { id: id.into(), durable, batch, payload_bytes })
    }

    /// Row B9's mode; nothing in other rows.
    pub fn neighbours(&self) -> Option<bulkhead::Mode> {
        let mode = if self.durable { bulkhead::Mode::Sync } else { bulkhead::Mode::None };
        self.id.starts_with("B9/").then_some(mode)
    }
}
