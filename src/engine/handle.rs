//! The engine for a thread that may outlive the call that it works for, and the directories in which such a one hangs.

use super::Engine;
use crate::error::{Error, Op, Result, Status};
use crate::io::Storage;
use std::path::Path;
use std::sync::Arc;

impl Engine {
    /// The same engine; whoever opened it closes it. Directories are opened through `dirs`.
    pub(crate) fn handle(&self, dirs: Arc<dyn Storage>) -> Engine {
        let (shared, storage) = (self.shared.clone(), self.storage.clone());
        Engine { shared, storage, dirs, state: self.state.clone(), stepped: self.stepped.clone(), is_handle: true }
    }

    pub(crate) fn own_storage(&self) -> Arc<dyn Storage> {
        self.storage.clone()
    }

    /// A call has been given up in this directory; until `hangs_no_more` others are told.
    pub(crate) fn hangs(&self, path: &Path) {
        self.state.lock().hanging.insert(path.to_path_buf());
    }

    pub(crate) fn hangs_no_more(&self, path: &Path) {
        self.state.lock().hanging.remove(path);
    }

    pub(crate) fn check_not_hanging(&self, path: &Path) -> Result<()> {
        if !self.state.lock().hanging.contains(path) {
            return Ok(());
        }
        let message = "a conversion of the directory has not come back from the kernel; try again when it has";
        Err(Error::new(Status::Busy, Op::Open, message).at(path))
    }
}
