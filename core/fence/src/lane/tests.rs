use dm_model::BinlogPosition;
use proptest::prelude::*;

use super::*;

const SLICING: Slicing = Slicing { consistency: Consistency::Transaction, slice_rows: 10_000 };

fn row(lane: u16) -> LaneRow {
    LaneRow::first(lane, ClusterId("c".to_owned()), Epoch(7), SLICING)
}

fn at(offset: u64) -> Location {
    Location::new(BinlogPosition::new("mysql-bin.000001", offset), None)
}

fn progress(low: u64, units: &[u64]) -> Progress {
    Progress {
        units: units.iter().copied().map(UnitNumber).collect(),
        low: UnitNumber(low),
        low_location: at(low * 100),
        done_gtid: None,
        source_uuid: "s".to_owned(),
        src_ts: None,
    }
}

fn commit(row: &mut LaneRow, low: u64, units: &[u64]) {
    let update = row.advance(progress(low, units)).unwrap();
    row.apply(&update, Some(1));
}

#[test]
fn an_inherited_window_stays_until_a_watermark_written_with_it_covers_it() {
    let mut inherited = row(0);
    commit(&mut inherited, 0, &[3, 5]);
    inherited.epoch = Epoch(9);

    let update = inherited.advance(progress(1, &[6])).unwrap();
    assert_eq!(update.done.to_string(), "3,5-6");
    let update = inherited.advance(progress(3, &[6])).unwrap();
    assert_eq!((update.low, update.done.to_string()), (UnitNumber(3), "5-6".to_owned()));
}

#[test]
fn a_row_refuses_what_would_double_or_lose_units() {
    let mut lane = row(0);
    commit(&mut lane, 2, &[4]);
    assert_eq!(
        lane.advance(progress(1, &[])),
        Err(AdvanceError::LowRegressed { held: UnitNumber(2), wanted: UnitNumber(1) })
    );
    assert_eq!(lane.advance(progress(2, &[4])), Err(AdvanceError::AlreadyDone { unit: UnitNumber(4) }));
    assert_eq!(lane.advance(progress(2, &[1])), Err(AdvanceError::AlreadyDone { unit: UnitNumber(1) }));
    assert!(matches!(lane.advance(progress(2, &[3 + Window::SPAN])), Err(AdvanceError::Window(_))));
    let other = Slicing { slice_rows: 5, ..SLICING };
    assert_eq!(lane.reslice(other), Err(AdvanceError::SlicingChanged { n_units: 1 }));
    commit(&mut lane, 4, &[]);
    assert_eq!(lane.reslice(other).map(|update| update.slicing), Ok(other));
}

#[test]
fn resume_starts_after_the_largest_watermark_of_any_row_and_skips_all_windows() {
    let (mut a, mut b, mut unused) = (row(0), row(1), row(2));
    commit(&mut unused, 0, &[2, 9]);
    commit(&mut a, 0, &[1, 4]);
    commit(&mut b, 2, &[3, 6]);
    let resume = resume(&[a, b, unused]).unwrap();
    assert_eq!((resume.low, resume.location.clone()), (UnitNumber(2), at(200)));
    assert_eq!(resume.done.to_string(), "3-4,6,9");
    assert!(resume.skips(UnitNumber(2)) && resume.skips(UnitNumber(9)) && !resume.skips(UnitNumber(5)));
}

#[test]
fn resume_of_no_rows_is_nothing_and_of_untouched_rows_is_fresh() {
    assert_eq!(resume(&[]), None);
    assert!(resume(&[row(0), row(1)]).unwrap().is_fresh());
}

#[test]
fn of_equal_watermarks_the_later_location_wins() {
    let (mut a, mut b) = (row(0), row(1));
    commit(&mut a, 0, &[]);
    let mut idle = progress(0, &[]);
    idle.low_location = at(900);
    let update = b.advance(idle).unwrap();
    b.apply(&update, Some(1));
    assert_eq!(resume(&[b.clone(), a.clone()]).unwrap().location, at(900));
    assert_eq!(resume(&[a, b]).unwrap().location, at(900));
}

proptest! {
    /// Any interleaving of lanes, with a new owner at any moment and lanes that come and go: what resume says is
    /// committed is exactly what was committed.
    #[test]
    fn rows_say_exactly_what_is_committed(
        steps in prop::collection::vec((0..3_usize, 1..4_usize, 0..5_u32), 1..60)
    ) {
        let mut rows = vec![row(0), row(1), row(2)];
        let mut committed: std::collections::BTreeSet<u64> = std::collections::BTreeSet::new();
        for (lane, n_units, kind) in steps {
            if kind == 4 {
                for row in &mut rows {
                    row.epoch = Epoch(row.epoch.0 + 1);
                    row.seq += 1;
                }
                continue;
            }
            // The acknowledged watermark, and every other unit left open so that windows have holes.
            let low = (1..).take_while(|unit| committed.contains(unit)).last().unwrap_or(0);
            let low = low.max(rows[lane].low.0);
            let open: Vec<u64> = (low + 1..).filter(|unit| !committed.contains(unit))
                .step_by(1 + kind as usize % 2).take(n_units).collect();
            let update = rows[lane].advance(progress(low, &open)).unwrap();
            prop_assert_eq!(update.seq, rows[lane].seq);
            rows[lane].apply(&update, Some(1));
            committed.extend(open);

            let resume = resume(&rows).unwrap();
            for unit in 1..committed.last().unwrap() + 5 {
                prop_assert_eq!(resume.skips(UnitNumber(unit)), committed.contains(&unit), "unit {}", unit);
            }
        }
    }
}
