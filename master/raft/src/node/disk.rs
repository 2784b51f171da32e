//! The disk the store is on: how much is free, and a reserve that is given up when it fills.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::options::DiskLimits;

pub(crate) struct Disk {
    directory: PathBuf,
    reserve: PathBuf,
    limits: DiskLimits,
    free: AtomicU64,
}

impl Disk {
    pub(crate) fn new(directory: &Path, limits: DiskLimits) -> Self {
        let disk = Self {
            directory: directory.to_owned(),
            reserve: directory.join("reserve"),
            limits,
            free: AtomicU64::new(u64::MAX),
        };
        disk.look();
        disk
    }

    /// Free bytes when last looked.
    pub(crate) fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    pub(crate) fn is_low(&self) -> bool {
        self.free() < self.limits.refuse_below_bytes
    }

    /// Measures, and makes or gives up the reserve. Blocks on the file system.
    pub(crate) fn look(&self) {
        let free = match free_bytes(&self.directory) {
            Ok(free) => free,
            Err(error) => {
                tracing::warn!(%error, "cannot measure free disk space");
                return;
            }
        };
        self.free.store(free, Ordering::Relaxed);
        if self.limits.reserve_bytes == 0 {
            return;
        }
        if free < self.limits.reserve_bytes {
            if fs::remove_file(&self.reserve).is_ok() {
                tracing::error!(free, "the disk is nearly full; the reserve was given up");
            }
        } else if free > self.limits.refuse_below_bytes + 2 * self.limits.reserve_bytes
            && !self.reserve.exists()
            && let Err(error) = make_reserve(&self.reserve, self.limits.reserve_bytes)
        {
            tracing::warn!(%error, "cannot make the disk reserve");
        }
    }
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    #[allow(clippy::useless_conversion, reason = "the types differ between platforms")]
    Ok(u64::from(stat.blocks_available()) * u64::from(stat.fragment_size()))
}

fn make_reserve(path: &Path, n_bytes: u64) -> io::Result<()> {
    let file = File::create(path)?;
    let length = i64::try_from(n_bytes).map_err(io::Error::other)?;
    nix::fcntl::posix_fallocate(&file, 0, length)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_made_with_room_and_given_up_without() {
        let dir = tempfile::tempdir().unwrap();
        let roomy = DiskLimits { reserve_bytes: 4096, refuse_below_bytes: 4096 };
        let disk = Disk::new(dir.path(), roomy);
        assert!(!disk.is_low());
        assert_eq!(fs::metadata(dir.path().join("reserve")).unwrap().len(), 4096);

        let tight = DiskLimits { reserve_bytes: u64::MAX / 4, refuse_below_bytes: u64::MAX / 4 };
        let disk = Disk::new(dir.path(), tight);
        assert!(disk.is_low());
        assert!(!dir.path().join("reserve").exists());
    }
}
