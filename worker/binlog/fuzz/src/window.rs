//! A window of a lane row above a watermark of eight bytes. What is read must be written again as it was understood.

use dm_fence::{UnitNumber, Window};

pub fn run(bytes: &[u8]) {
    let Some((low, bytes)) = bytes.split_first_chunk::<8>() else { return };
    let low = UnitNumber(u64::from_le_bytes(*low));
    let Ok(window) = Window::decode(bytes, low) else { return };
    let again = Window::decode(&window.encode(low), low);
    assert_eq!(again.as_ref(), Ok(&window));
    let mut all = window.clone();
    all.union(&window);
    all.drop_up_to(low);
    assert_eq!(all.len(), window.iter().count() as u64);
}
